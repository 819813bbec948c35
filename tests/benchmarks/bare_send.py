"""A minimal sender with click and requests, as a user would write it in five minutes."""

import os

import click
import requests


@click.command()
@click.argument("text")
def send(text: str) -> None:
    """Post TEXT."""
    response = requests.post(os.environ["CHATPOST_URL"], json={"text": text}, timeout=20)
    response.raise_for_status()
    click.echo(response.json()["name"])


send()
