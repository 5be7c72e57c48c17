"""``mosaic completion``: what to put into a shell's start-up file."""

import click
from click.shell_completion import get_completion_class


@click.command(
    epilog="""
\b
Examples:
  mosaic completion bash >> ~/.bashrc
  mosaic completion zsh  >> ~/.zshrc
  mosaic completion fish > ~/.config/fish/completions/mosaic.fish
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell."""
    completer = get_completion_class(shell)
    assert completer is not None  # noqa: S101 - click knows the three shells it is asked for
    click.echo(completer(ctx.find_root().command, {}, "mosaic", "_MOSAIC_COMPLETE").source())
