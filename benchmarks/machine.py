"""Read off what the numbers were measured on, and of what code."""

import hashlib
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

from upstroke.ops.kernels import instructions

ROOT = Path(__file__).resolve().parent.parent
# what a row depends on
CODE = ("src/upstroke/ops", "src/upstroke/nn", "native", "benchmarks/*.py")


def machine() -> dict[str, object]:
    """Processor, caches, memory and versions, as plain data."""
    cpu = _pairs("/proc/cpuinfo", ":")
    return {
        "processor": f"{cpu.get('model name')} (family {cpu.get('cpu family')}, model {cpu.get('model')})",
        "cores": len(_lines("/proc/cpuinfo", "processor")),
        "caches": _caches(),
        "memory": f"{int(_pairs('/proc/meminfo', ':')['MemTotal'].split()[0]) / 2**20:.1f} GiB",
        "transparent huge pages": Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text().strip(),
        "instructions of our kernels": instructions() or "not built",
        "instructions of PyTorch": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "onnxruntime", "openvino")},
    }


def commit() -> str:
    """The commit measured, with a word if the work tree differs from it in what matters here."""
    head = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", "src/upstroke/ops", "src/upstroke/nn", "native")
    return f"{head} with changes" if changed else head


def fingerprint() -> str:
    """A digest of all code that a row's numbers depend on."""
    digest = hashlib.sha256()
    for pattern in CODE:
        folder = ROOT / pattern
        files = folder.rglob("*") if folder.is_dir() else ROOT.glob(pattern)
        for path in sorted(file for file in files if file.suffix in (".py", ".h", ".cpp")):
            # the generated table is made from the rows
            if path.name != "measured.py":
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _caches() -> str:
    found = []
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            found.append(f"L{level} {size}")
    return ", ".join(found)


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _lines(path: str, start: str) -> list[str]:
    return [line for line in Path(path).read_text().splitlines() if line.startswith(start)]


def _pairs(path: str, separator: str) -> dict[str, str]:
    pairs = (line.partition(separator) for line in Path(path).read_text().splitlines())
    return {key.strip(): " ".join(value.split()) for key, _, value in pairs}
