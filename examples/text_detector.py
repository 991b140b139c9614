"""Print where the DBNet text detector is that the package rapidocr-onnxruntime ships."""

import importlib.util
import sys
from pathlib import Path

MODEL = "models/ch_PP-OCRv4_det_infer.onnx"


def main() -> int:
    """Find the package without importing it."""
    package = importlib.util.find_spec("rapidocr_onnxruntime")
    if package is None or package.origin is None:
        print("rapidocr-onnxruntime is not installed; pip install rapidocr-onnxruntime", file=sys.stderr)
        return 2
    print(Path(package.origin).parent / MODEL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
