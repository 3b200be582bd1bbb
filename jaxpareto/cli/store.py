"""`jaxpareto extract`, `store`: what a backbone says of images, kept on disk."""

import argparse
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxpareto.cli.front import trained_for
from jaxpareto.cli.parser import columns, command
from jaxpareto.errors import UsageError, check_name

_STORED = ("batch_size", "shard_rows", "seed", "limit")
"""What a store was begun with, and keeps when it is resumed."""


def add_extract(commands: Any) -> None:
    """Add `extract`: from images to a store."""
    parser = command(
        commands, "extract", "write the features of images to a store", _extract
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder with a subfolder per class, tfds:NAME/SPLIT, or a data set of "
        "this library, as digits/train",
    )
    parser.add_argument(
        "--backbone",
        required=True,
        help="name of a network, or the folder of a run of this library",
    )
    parser.add_argument("--weights", type=Path, help="file of a network's weights")
    parser.add_argument(
        "--preprocess", help="v1 or v2: what the weights were made for; v2 unless said"
    )
    parser.add_argument("--pref", help="of a run: as 0.5,0.5, one per task, sum 1")
    parser.add_argument("--out", type=Path, required=True, help="folder of the store")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue the store in --out, if there is one",
    )
    _add_numbers(parser)
    parser.add_argument(
        "--data-dir", help="folder of IDX files, or of tensorflow-datasets"
    )
    parser.add_argument("--devices", metavar="N", help="share each batch; all at most")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def _add_numbers(parser: argparse.ArgumentParser) -> None:
    def number(word: str, metavar: str, help: str) -> None:
        more = {"type": int, "metavar": metavar, "default": argparse.SUPPRESS}
        parser.add_argument(word, help=help, **more)

    number("--batch-size", "B", "images at once; 256 unless said")
    number("--shard-rows", "ROWS", "rows in a file; 16384 unless said")
    number("--seed", "SEED", "of the order of the rows; 0 unless said")
    number("--limit", "ROWS", "take only so many images, drawn at random")
    number("--workers", "N", "processes that read images; one per core unless said")
    number("--task", "I", "of a multi-task data set: whose labels; 0 unless said")


def _extract(asked: argparse.Namespace) -> None:
    from jaxpareto.data import features

    settings = _settings(asked)
    front = _run(asked)
    backbone = _backbone(asked, front)
    source = _source(asked, front)
    backbone, put = _shared(backbone, asked.devices, settings)
    began = time.monotonic()
    with closing(_Progress(quiet=asked.quiet)) as progress:
        features.extract(
            backbone,
            source,
            asked.out,
            workers=getattr(asked, "workers", None),
            resume=asked.resume,
            report=progress.report,
            put=put,
            **settings,
        )
    seconds = time.monotonic() - began
    store = features.open_store(asked.out)
    print(
        f"{asked.out}: {store.rows:,} x {store.dim:,} features of {source.about} by "
        f"{backbone.name}, {store.classes:,} classes, in {seconds:.1f} s\n"
        f"SHA-256 of the weights: {backbone.fingerprint}"
    )


def _shared(backbone: Any, words: str | None, settings: dict[str, int]) -> Any:
    """Let devices share a batch: return the backbone, and what puts batches there."""
    import jax

    from jaxpareto.train.mesh import choose

    if words is not None and "x" in words:
        raise UsageError(f"--devices of extract is a count, found {words}")
    devices = choose(words, 1, settings.get("batch_size", 256), what="backbones")
    if devices is None:
        return backbone, jax.device_put
    if isinstance(backbone.features, jax.tree_util.Partial):  # its weights are leaves
        features = devices.everywhere(backbone.features)
        backbone = backbone._replace(features=features)
    return backbone, devices.rows


def _settings(asked: argparse.Namespace) -> dict[str, int]:
    """Return what the call says of the store, or what it was begun with."""
    from jaxpareto.data.features.disk import META, read_meta

    given = {name: getattr(asked, name) for name in _STORED if hasattr(asked, name)}
    if not asked.resume:
        if asked.out.exists():  # known before a long list of files is made
            raise UsageError(f"{asked.out} exists; name another --out, or add --resume")
        return given
    if not (asked.out / META).exists():
        return given
    begun = read_meta(asked.out)
    begun["limit"] = begun["rows"]
    return {name: begun[name] for name in _STORED} | given


class _Progress:
    """Images done and time left, from the calls that `extract` makes."""

    def __init__(self, *, quiet: bool):
        self._quiet = quiet
        self._shown: Any = None
        self._began = 0.0
        self._start = self._done = 0

    def report(self, done: int, total: int) -> None:
        from jaxpareto.train.log import Progress

        if self._shown is None:
            self._shown = Progress(total, done, unit="image", quiet=self._quiet)
            self._began, self._start, self._done = time.monotonic(), done, done
            return
        rate = (done - self._start) / max(time.monotonic() - self._began, 1e-9)
        self._shown.advance(done - self._done, f"{rate:.0f} images/s")
        self._done = done

    def close(self) -> None:
        if self._shown is not None:
            self._shown.close()


def _run(asked: argparse.Namespace) -> Any:
    """Load the run whose folder `--backbone` names; None if it names a network."""
    from jaxpareto.backbones import BACKBONES
    from jaxpareto.train.run import load

    folder = asked.backbone not in BACKBONES and Path(asked.backbone).is_dir()
    return load(asked.backbone) if folder else None


def _backbone(asked: argparse.Namespace, front: Any) -> Any:
    """Make the backbone that the call names."""
    from jaxpareto.backbones import BACKBONES, load, of_net
    from jaxpareto.conditioned import CONDITIONERS
    from jaxpareto.prefs import parse_pref
    from jaxpareto.train.run import make_net

    if front is None:
        if asked.pref is not None:
            raise UsageError(f"--pref is for a run, and {asked.backbone} is no folder")
        check_name(asked.backbone, BACKBONES, "backbone")
        if asked.weights is None:
            raise UsageError("--weights FILE is missing: what the network knows")
        return load(asked.backbone, asked.weights, preprocess=asked.preprocess or "v2")
    if asked.weights is not None or asked.preprocess is not None:
        raise UsageError(f"{asked.backbone} is a run: no --weights, no --preprocess")
    if asked.pref is None:
        raise UsageError(
            f"{asked.backbone} is a run: which network of it? --pref 0.5,0.5"
        )
    if CONDITIONERS[front.config.conditioner].reads_pref:
        raise UsageError(
            f"{asked.backbone}: its network reads the preference beside the image "
            f"(--conditioner {front.config.conditioner}), so it is no plain backbone"
        )
    pref = parse_pref(asked.pref, front.shape.tasks)
    if remark := trained_for(front, pref):
        print(remark.strip())
    trained = ",".join(f"{x:g}" for x in front.trained_pref(pref))
    return of_net(
        f"{front.config.network} at {trained}",
        make_net(front.config, front.shape),
        front.params(pref),
        image_shape=front.shape.image,
    )


def _source(asked: argparse.Namespace, front: Any) -> Any:
    """Find the images; the data set of a run is composed as for that run."""
    from jaxpareto.data import features
    from jaxpareto.train.run import load_data, recorded_data_dir

    more: dict[str, Any] = {"task": getattr(asked, "task", 0)}
    data_dir = asked.data_dir
    if front is not None and asked.source.split("/")[0] == front.config.data:
        config = front.config
        more["load"] = lambda _, data_dir: load_data(config, data_dir)
        data_dir = data_dir or recorded_data_dir(front.folder)
    return features.images_of(asked.source, data_dir, **more)


def add_store(commands: Any) -> None:
    """Add `store`, with a word of its own for each thing to do with one."""
    parser = command(commands, "store", "look after a feature store", _store)
    parser.add_argument("what", metavar="WHAT", help="verify, stats or consolidate")
    parser.add_argument(
        "folder", type=Path, metavar="STORE", help="folder of the store"
    )


def _store(asked: argparse.Namespace) -> None:
    what = {"verify": _verify, "stats": _stats, "consolidate": _consolidate}
    what[check_name(asked.what, what, "thing to do with a store")](asked.folder)


def _verify(folder: Path) -> None:
    from jaxpareto.data import features

    features.verify(folder)
    store = features.open_store(folder)
    print(
        f"{folder}: all {store.rows:,} rows in {len(store.manifest.shards)} shards are "
        "what was written"
    )


def _consolidate(folder: Path) -> None:
    from jaxpareto.data import features

    done = features.consolidate(folder)
    print(f"{folder}/x.npy, y.npy, id.npy: " + ("written" if done else "already there"))


def _stats(folder: Path) -> None:
    from jaxpareto.data import features

    store, found = features.open_store(folder), features.stats(folder)
    meta, counts = store.meta, found.counts
    empty = int((counts == 0).sum())
    spread = partial(_spread, "{:.4g}")
    columns(
        [
            ("rows", f"{found.rows:,} of {meta['source_rows']:,}"),
            ("features", f"{found.dim:,} of {meta['backbone']}"),
            ("preprocess", meta["preprocess"]),
            ("source", meta["source"]),
            ("classes", f"{store.classes:,}" + (f", {empty:,} empty" if empty else "")),
            ("rows per class", _spread("{:,.0f}", counts)),
            ("mean of a feature", spread(found.mean)),
            ("std of a feature", spread(found.std)),
            ("smallest, largest", f"{found.low.min():.4g}, {found.high.max():.4g}"),
            ("size", f"{found.bytes / 1e6:,.1f} MB"),
        ]
    )


def _spread(form: str, values: np.ndarray) -> str:
    """Spell the smallest, the median and the largest of some numbers."""
    three = (values.min(), np.median(values), values.max())
    names = ("min", "median", "max")
    return "  ".join(f"{n} {form.format(v)}" for n, v in zip(names, three, strict=True))
