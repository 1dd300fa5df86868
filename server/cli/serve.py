"""`tiltyard serve`."""

from __future__ import annotations

import logging
import os

import click

from server.home import create, from_env


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; beyond loopback a token must exist.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on; 0: any free one.")
@click.option("--workers", default=None, type=click.IntRange(1, 256), help="Web workers.  [default: the number of cores]")
def command(host: str, port: int, workers: int | None) -> None:
    """Serve predictions: the web workers and backstage together."""
    from server.supervisor import Supervisor

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    home = create(from_env())
    supervisor = Supervisor(home, host, port, workers or len(os.sched_getaffinity(0)))
    click.echo(f"Tiltyard serves on http://{host}:{supervisor.port} from {home.path} (Ctrl-C stops it)")
    supervisor.run()
