"""`chatpost completion`."""

from __future__ import annotations

import click

from chatpost.cli.console import write_data

# zsh has `compdef` only once its completion is set up.
_ZSH_SETUP = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i; }\n"

EPILOG = """\b
To enable completion in new shells:
  echo 'eval "$(chatpost completion bash)"' >> ~/.bashrc
  echo 'eval "$(chatpost completion zsh)"' >> ~/.zshrc
  chatpost completion fish > ~/.config/fish/completions/chatpost.fish
"""


@click.command(epilog=EPILOG)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")), metavar="SHELL")
def completion(shell: str) -> None:
    """Print a shell completion script.

    The script completes commands, options, their values, and the names of profiles and mentions.
    """
    from click.shell_completion import ShellComplete, get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - Click knows these shells
    script = ShellComplete.source(kind(click.Group(), {}, "chatpost", "_CHATPOST_COMPLETE"))
    write_data(f"{_ZSH_SETUP if shell == 'zsh' else ''}{script.strip()}")
