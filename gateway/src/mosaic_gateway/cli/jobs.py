"""``mosaic jobs``: which background work there is, what of it failed, and another try."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mosaic_gateway.cli.shell import Shell

if TYPE_CHECKING:
    from mosaic_gateway.boot import Gateway


@click.group()
def jobs() -> None:
    """See and retry background jobs; they run while the gateway does."""


@jobs.command("list", epilog="\b\nExamples:\n  mosaic jobs list\n  mosaic jobs list --failed --json")
@click.option("--failed", is_flag=True, help="Those that have used up their attempts, latest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_jobs(shell: Shell, failed: bool, as_json: bool) -> None:
    """List the jobs that this gateway's plugins offer, or those that failed."""
    if failed:
        rows = [asdict(job) for job in shell.gateway(lambda gateway: gateway.composition.queue.failed())]
        columns = ["id", "job", "attempts", "failed_at", "error"]
        shell.table(rows, columns=columns, as_json=as_json, empty="no job has failed")
    else:
        columns = ["job", "every", "attempts", "timeout"]
        shell.table(shell.gateway(_offered), columns=columns, as_json=as_json, empty="no plugin offers a job")


async def _offered(gateway: Gateway) -> list[dict[str, Any]]:
    return [
        {"job": job.name, "every": job.every, "attempts": job.attempts, "timeout": job.timeout}
        for job in gateway.jobs
    ]


@jobs.command(epilog="\b\nExample:\n  mosaic jobs retry 17")
@click.argument("job_id")
@click.pass_obj
def retry(shell: Shell, job_id: str) -> None:
    """Give a failed job all its attempts anew."""
    shell.gateway(lambda gateway: gateway.composition.queue.retry(job_id))
    click.echo(f"job {job_id} waits to be run")
