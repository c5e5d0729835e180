"""Table 3 of the paper: chairs from clouds of 500,000, 50,000 and 10,000 points with normals.

Measured as `paper_meshes` says; meshes come from marching cubes. Letters: N points.
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import trimesh
from torch import Tensor

from benchmarks import paper_codes, paper_rows
from benchmarks.baselines import convonet, deepsdf, fields, igr, metasdf, siren
from benchmarks.paper_meshes import GRID, MEASURED, Cloud, Mesh, meshed, quality
from benchmarks.paper_report import Table
from nidcli.files.surfaces import sample_mesh
from nidcli.model import Model
from nidcli.moe.shapes import Preset, ShapeLearner, Shapes
from nidcli.presets import load_preset

CLOUDS, BATCH, EPSILON = (500_000, 50_000, 10_000), 1024, 0.01
PAPER = {  # Chamfer / normal consistency
    "SIREN": ".051 / .962, .163 / .801, 1.304 / .169", "IGR": ".062 / .927, .170 / .812, .961 / .676",
    "DeepSDF": ".059 / .925, .121 / .856, 2.751 / .194", "MetaSDF": ".067 / .884, .097 / .878, .132 / .755",
    "ConvONet": ".052 / .938, .082 / .914, .133 / .845", "NID, k = 256": ".053 / .956, .063 / .952, .088 / .945",
    "NID, k = 128": ".058 / .940, .067 / .948, .093 / .921",
}  # fmt: skip
Method = Callable[[Cloud, float], Mesh | None]


def _drawn(cloud: Cloud, chance: np.random.Generator, count: int = BATCH) -> tuple[Tensor, Tensor, Tensor]:
    """Points of the surface, their normals, and points anywhere."""
    index = chance.integers(len(cloud[0]), size=count)
    on, normal = (torch.from_numpy(part[index]).float() for part in cloud)
    return on, normal, torch.from_numpy(chance.uniform(-1, 1, (count, 3))).float()


def _observed(cloud: Cloud, chance: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Places and distances that a cloud with normals tells: on it 0, beside it EPSILON, in space as eq. 17."""
    on, normal, off = _drawn(cloud, chance, count // 4)
    distance = torch.from_numpy(Shapes([cloud], ["cloud"]).distance(0, off.numpy()))
    places = torch.cat([on, on + EPSILON * normal, on - EPSILON * normal, off])
    beside = torch.full((len(on),), EPSILON)
    return places, torch.cat([0 * beside, beside, -beside, distance])


def siren_method(cloud: Cloud, seconds: float) -> Mesh:
    """Their loss of surfaces."""
    chance = np.random.default_rng(0)
    loss = lambda weights, step: siren.surface_loss(weights, *_drawn(cloud, chance))  # noqa: E731
    start = siren.weights(3, 1, hidden=siren.SURFACE_HIDDEN)
    weights = fields.fit(start, loss, siren.RATE, seconds=seconds)[0]
    return meshed(lambda x: siren.field(weights, x)[:, 0])


def igr_method(cloud: Cloud, seconds: float) -> Mesh:
    """Their loss, from a sphere."""
    torch.manual_seed(0)
    model, chance, start = igr.Igr(), np.random.default_rng(0), time.perf_counter()
    adam = torch.optim.Adam(model.parameters(), lr=igr.RATE)
    while time.perf_counter() - start < seconds:
        adam.zero_grad()
        igr.loss(model, *_drawn(cloud, chance, 512)).backward()
        adam.step()
    return meshed(model)


def deepsdf_method(train: Shapes, seconds: float) -> Method:
    """An auto-decoder of the training shapes."""
    g = torch.Generator().manual_seed(0)

    model, _ = deepsdf.learn(len(train), lambda index: _near(train, index, 2048, g), seconds)

    def fit(cloud: Cloud, limit: float) -> Mesh:
        chance = np.random.default_rng(0)
        code = deepsdf.infer(model, lambda: _observed(cloud, chance, 2048), limit)
        return meshed(lambda x: model(code, x))

    return fit


def _near(train: Shapes, index: int, count: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Places near a training surface, and some anywhere, with their distances."""
    points = train.clouds[index][0]
    on = torch.from_numpy(points[torch.randint(len(points), (3 * count // 4,), generator=g).numpy()])
    near = on + 0.04 * torch.randn(on.shape, generator=g)
    places = torch.cat([near, 2 * torch.rand(count - len(near), 3, generator=g) - 1])
    places = places[torch.randperm(len(places), generator=g)]
    return places, torch.from_numpy(train.distance(index, places.numpy()))


def metasdf_method(train: Shapes, seconds: float) -> Method:
    """A learned beginning, and rates."""
    g = torch.Generator().manual_seed(0)
    own, rates, _ = metasdf.learn(len(train), lambda index: _near(train, index, 4096, g), seconds)

    def fit(cloud: Cloud, limit: float) -> Mesh:
        weights = metasdf.infer(own, rates, *_observed(cloud, np.random.default_rng(0), 8192))
        return meshed(lambda x: metasdf.field(weights, x)[:, 0])

    return fit


def convonet_method(train: Shapes, seconds: float) -> Method:
    """Occupancy from planes of features."""
    g = torch.Generator().manual_seed(0)

    def sample(index: int) -> tuple[Tensor, Tensor, Tensor]:
        points = train.clouds[index][0]
        cloud = torch.from_numpy(points[torch.randint(len(points), (3000,), generator=g).numpy()])
        places, distance = _near(train, index, 2048, g)
        return cloud, places, (distance < 0).float()

    model, _ = convonet.learn(len(train), sample, seconds)

    def fit(cloud: Cloud, limit: float) -> Mesh:
        with torch.no_grad():
            planes = model.encode(torch.from_numpy(cloud[0]).float())
        return meshed(lambda x: -model.decode(planes, x))

    return fit


def nid_model(train: Shapes, seconds: float) -> tuple[Model, str]:
    """The paper's NID with a lookup table; what became of it."""
    learner, used = ShapeLearner(load_preset("shapenet-chair-small", Preset).learn, train, limit=seconds), 0.0
    for progress in learner.run():
        used = getattr(progress, "used", None) or used
    told = f"{learner.place.step} batches, {100 * used:.0f} % of experts in use"
    return learner.model.eval().requires_grad_(False), told


def nid_method(model: Model, k: int) -> Method:
    """A code of at most k experts that agrees with the cloud, the dictionary fixed."""
    bank = model.level(0).bank()

    def fit(cloud: Cloud, limit: float) -> Mesh:
        places, distance = _observed(cloud, np.random.default_rng(0), 8192)
        with torch.no_grad():
            measured, free = bank.atoms(places)[:, 0], torch.ones(len(places), 1)
        values_K, constant = paper_codes.code(measured, free, distance, k)
        return meshed(lambda x: bank.field(x, values_K[:, None])[:, 0, 0] + constant)

    return fit


def poisson(cloud: Cloud, seconds: float) -> Mesh | None:
    """Screened Poisson (Kazhdan and Hoppe 2013) of pymeshlab, where it is installed."""
    try:
        import pymeshlab
    except ImportError:
        return None
    meshes = pymeshlab.MeshSet()
    meshes.add_mesh(pymeshlab.Mesh(vertex_matrix=cloud[0].astype(float), v_normals_matrix=cloud[1].astype(float)))
    meshes.generate_surface_reconstruction_screened_poisson(depth=8)
    return meshes.current_mesh().vertex_matrix(), meshes.current_mesh().face_matrix()


def ours(dictionary: Path) -> Method:
    """`nid sdf-recon`."""

    def fit(cloud: Cloud, seconds: float) -> Mesh:
        with tempfile.TemporaryDirectory() as folder:
            source, result = Path(folder, "cloud.ply"), Path(folder, "mesh.ply")
            names = "".join(f"property float {name}\n" for name in ("x", "y", "z", "nx", "ny", "nz"))
            head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(cloud[0])}\n{names}end_header\n"
            source.write_bytes(head.encode() + np.concatenate(cloud, 1).astype("<f4").tobytes())
            paper_rows.surface(dictionary, source, result)
            mesh = trimesh.load_mesh(result, process=False)
            return np.asarray(mesh.vertices), np.asarray(mesh.faces)

    return fit


def table3(folder: Path, out: Path, seconds: float, fit: float, images: int) -> None:
    """Chamfer and normal consistency at three numbers of points."""
    with (folder / "index.csv").open() as file:
        whole = {row["file"] for row in csv.DictReader(file) if row["watertight"] == "True"}
    paths = sorted((folder / "chairs").glob("*.ply"))
    test = [path for path in paths if path.name in whole][1:][:images]
    learned = [path for path in paths if path.name not in whole]
    sampled = [sample_mesh(path, 50_000) for path in learned]
    train = Shapes([(points, normals) for points, normals, _ in sampled], [digest for _, _, digest in sampled])
    model, told = nid_model(train, seconds)
    out.mkdir(parents=True, exist_ok=True)
    dictionary = paper_rows.learned("chair", [str(path) for path in learned], seconds, out / "chair.nid")
    methods: dict[str, Method] = {
        "SIREN": siren_method, "IGR": igr_method, "DeepSDF": deepsdf_method(train, seconds),
        "MetaSDF": metasdf_method(train, seconds), "ConvONet": convonet_method(train, seconds),
        "NID, k = 128": nid_method(model, 128), "NID, k = 256": nid_method(model, 256),
        "screened Poisson": poisson, "ours": ours(dictionary),
    }  # fmt: skip
    notes = (
        f"{len(test)} watertight chairs that nothing learned from, {len(train)} to learn from; {seconds:g} s of "
        f"learning, and {fit:g} s a chair at most; marching cubes at {GRID} a side",
        f"NID: 1024 experts, {told}; codes by ridge regression, see `paper_codes`; FAILED: no surface in the box",
        f"ours: `nid sdf-recon` after {seconds:g} s of `learn-dict --preset chair`, 128 a side",
    )
    heads = [f"{what} at {count // 1000}k" for count in CLOUDS for what in ("Chamfer", "normals")]
    table = Table("Table 3: surfaces", ("method", *heads, "s a chair", "paper (GPU)"), notes)
    truths = [sample_mesh(path, MEASURED, seed=2)[:2] for path in test]
    clouds = {count: [sample_mesh(path, count, seed=3)[:2] for path in test] for count in CLOUDS}
    for name, method in methods.items():
        figures: list[object] = []
        start = time.perf_counter()
        for count in CLOUDS:
            try:
                drawn = [method(cloud, fit) for cloud in clouds[count]]
            except ValueError:
                figures += ["FAILED", "FAILED"]
                continue
            pairs = [quality(mesh, truth) for mesh, truth in zip(drawn, truths, strict=True) if mesh is not None]
            figures += [float(np.mean(part)) for part in zip(*pairs, strict=True)] if pairs else [None, None]
        there = any(figure is not None for figure in figures)
        spent = (time.perf_counter() - start) / len(test) / len(CLOUDS) if there else None
        table.add(name, *figures, spent, PAPER.get(name, ""))
    table.write(out)
