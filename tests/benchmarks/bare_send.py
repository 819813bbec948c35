"""The least that posts with click and requests: what a user would write in five minutes."""

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
