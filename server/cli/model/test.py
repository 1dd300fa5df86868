"""`tiltyard model test` and `model tests`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from core.errors import NotFound, TiltyardError
from server.cli.options import home, json_option, show, table, who
from server.cli.usage import options_as_given

if TYPE_CHECKING:
    from flows.testing.run import Order


@click.command("test")
@click.argument("version")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--target", metavar="COLUMN", help="The column of true values.  [default: as the version was registered]")
@click.option("--slice", "slices", multiple=True, metavar="COLUMN", help="Also by the values of this column; may be given several times.")
@click.option("--suite", "suite_file", type=click.Path(path_type=Path), metavar="FILE", help="A YAML file of thresholds and checks.")
@click.option("--require", "required", multiple=True, metavar="METRIC>=NUMBER", help="A threshold, such as accuracy>=0.8 or rmse<=60.")
@click.option("--against", metavar="VERSION", help="Compare with this one on the same rows.  [default: the champion, if another]")
@click.option("--positive", metavar="LABEL", help="The class that precision and recall are of.  [default: the last of two]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the resamples.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a report with pictures, one file.")
@json_option
def command(version: str, data: Path, html: Path | None, as_json: bool, **given: Any) -> None:
    """Test VERSION, such as credit@3, on the labelled rows of DATA (.csv or .parquet).

    The result is kept with the version. Ends with 1 where a threshold or check of the suite is not met.
    """
    from experiments.batch.table import printable
    from experiments.batch.table import table as as_table
    from flows.testing import run

    if html is not None:
        _check_folder(html)  # before the work, not after it
    here = home()
    order = _order(version, data, **given)
    found = run.run(run.Home(here.store, here.blobs, here.path / "blobs", here.remotes), order, who())
    if html is not None:
        _write(html, found)
    show(found, as_table(found), as_json=as_json)
    if found["passed"] is False:
        reasons = "; ".join(check["reason"] for check in found["checks"] if check["passed"] is False)
        click.echo(f"tiltyard: {found['version']} failed its test: {' '.join(printable(reasons).split())}", err=True)
        sys.exit(1)


@click.command("tests")
@click.argument("version")
@click.argument("test", required=False, type=click.IntRange(min=1))
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many, the newest.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a test's report with pictures, one file.")
@json_option
def list_tests(version: str, test: int | None, limit: int, html: Path | None, as_json: bool) -> None:
    """List the tests of VERSION, or show the one numbered TEST. With --html and no number: the newest."""
    from experiments.batch.table import table as as_table
    from flows import batch_tests as flow

    store = home().store
    if test is None and html is None:
        found = flow.list_tests(store, version, limit)
        show(found, table([_row(one) for one in found["tests"]], _COLUMNS) if found["tests"] else "No test yet.", as_json=as_json)
        return
    one = flow.show_test(store, version, test)
    if html is not None:
        _write(html, one)
    show(one, as_table(one), as_json=as_json)


_COLUMNS = ("test", "outcome", "at", "by", "data", "rows", "metrics")


def _row(one: dict[str, Any]) -> dict[str, Any]:
    from experiments.batch.table import headline, outcome

    metrics = {name: f"{one['metrics'][name]['value']:.4g}" for name in headline(one)}
    data = one["data"]
    return {**one, "test": one["id"], "outcome": outcome(one), "data": data["file"], "rows": data["tested"], "metrics": metrics}


def _order(
    version: str,
    data: Path,
    *,
    suite_file: Path | None,
    required: tuple[str, ...],
    positive: str | None,
    slices: tuple[str, ...],
    **given: Any,
) -> Order:
    """The order: thresholds and slices add to those of the suite, the positive class goes before its own."""
    from experiments.batch import suite
    from flows.testing.run import Order

    asked, content = (suite.EMPTY, None) if suite_file is None else suite.read(suite_file)
    changed: dict[str, Any] = {"slices": tuple(dict.fromkeys([*asked.slices, *slices]))}
    with options_as_given():
        changed["thresholds"] = (*asked.thresholds, *map(suite.require, required))
    if positive is not None:
        changed["positive"] = positive
    name = None if suite_file is None else suite_file.name
    return Order(version, data, suite=msgspec.structs.replace(asked, **changed), suite_file=name, suite_bytes=content, **given)


def _write(path: Path, found: dict[str, Any]) -> None:
    from server.page.batch_test import page

    _check_folder(path)
    try:
        path.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise TiltyardError(f"{path}: cannot be written: {error.strerror}") from error


def _check_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise NotFound(f"{path}: no such directory")
