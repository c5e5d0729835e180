"""`nid doctor`: what this machine and this installation have."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from timeit import repeat

from nidcli.commands.groups import ReportOptions

CORE = ("torch", "numpy", "scipy", "scikit-image", "pillow", "tifffile", "opencv-python-headless", "trimesh", "typer")
EXTRAS = ("h5py", "imagecodecs", "scikit-learn")


@dataclass(frozen=True)
class Device:
    """bf16_speedup: of a matrix product in bfloat16 over float32; solvers gain from it where it is well above 1."""

    name: str
    description: str
    bf16_speedup: float


@dataclass(frozen=True)
class Findings:
    """Versions are None where a package is missing; dictionaries are the bundled ones, with their sizes in bytes."""

    versions: Mapping[str, str | None]
    devices: tuple[Device, ...]
    extras: Mapping[str, str | None]
    dictionaries: Mapping[str, int]


def command(report: ReportOptions) -> None:
    """
    \b
      nid doctor --json
    """
    from platform import machine, python_version

    import torch

    from nidcli.artifacts import bundled, dictionary_path
    from nidcli.outcome import Outcome

    console = report.console("doctor")
    names = {"cpu": f"{machine()}, {torch.get_num_threads()} threads"}
    names |= {f"cuda:{number}": torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())}
    names |= {"mps": "Apple GPU"} if torch.backends.mps.is_available() else {}
    found = Findings(
        {"python": python_version()} | {name: _version(name) for name in CORE},
        tuple(Device(name, text, _bf16_speedup(name)) for name, text in names.items()),
        {name: _version(name) for name in EXTRAS},
        {name: dictionary_path(name).stat().st_size for name in bundled()},
    )
    for package, number in [*found.versions.items(), *found.extras.items()]:
        console.say(f"{package:24}{number or 'not installed'}")
    for device in found.devices:
        console.say(f"{device.name:24}{device.description}; bfloat16 {device.bf16_speedup} x as fast as float32")
    for name, size in found.dictionaries.items():
        console.say(f"{name:24}bundled dictionary, {size} bytes")
    console.conclude(Outcome(), summary=found)


def _version(package: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(package)
    return None


def _bf16_speedup(device: str) -> float:
    import torch

    def seconds(kind: torch.dtype) -> float:
        factor = torch.ones(512, 512, dtype=kind, device=device)
        return min(repeat(lambda: (factor @ factor)[0, 0].item(), number=1, repeat=5))

    return round(seconds(torch.float32) / seconds(torch.bfloat16), 2)
