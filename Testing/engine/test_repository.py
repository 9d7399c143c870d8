"""Files for people who find the repository: version, changelog, citation, catalog entry."""

import json
import re
from urllib.parse import urlsplit

import pytest

import veloxseg
from veloxseg.contract import errors, requirements

ROOT = requirements.FILE.parents[2]
CATALOG = ROOT / "docs" / "extensions-index" / "VeloxSegSlicer.json"

# Slicer's catalog entry schema 1.0.2 as rules, and those of the Extensions Index that one of its categories can meet.
KEYS = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
    "dicom_support_rule": str,
}
REQUIRED = {"$schema", "category", "scm_url"}
CATEGORIES = {"Neuroimaging", "Nuclear Medicine", "Quantification", "Radiotherapy", "Segmentation"}


def catalog_problems(content: bytes) -> list[str]:
    """What the Extensions Index would refuse; empty if nothing."""
    problems = ["line ends other than LF"] if b"\r" in content else []
    entry = json.loads(content)
    problems += [f"unknown key {key}" for key in entry.keys() - KEYS.keys()]
    problems += [f"missing key {key}" for key in REQUIRED - entry.keys()]
    problems += [f"type of {key}" for key, kind in KEYS.items() if key in entry and type(entry[key]) is not kind]
    problems += ["category"] if entry.get("category") not in CATEGORIES else []
    problems += ["tier"] if entry.get("tier") not in range(1, 6) else []
    url = urlsplit(entry.get("scm_url", ""))
    problems += ["scm_url"] if url.scheme not in ("git", "https") or "slicer" not in url.path.rsplit("/", 1)[-1].lower() else []
    return problems


def test_catalog_entry_would_be_accepted():
    content = CATALOG.read_bytes()
    entry = json.loads(content)
    assert not catalog_problems(content)
    assert entry["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert re.search(r"'PT'.*'MR'|'MR'.*'PT'", entry["dicom_support_rule"])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"homepage": "https://example.org"}, "unknown key homepage"),
        ({"category": "Lesions"}, "category"),
        ({"tier": 6}, "tier"),
        ({"tier": "1"}, "type of tier"),
        ({"scm_url": "git@github.com:VeloxSeg/VeloxSeg.git"}, "scm_url"),
        ({"build_dependencies": "PyTorch"}, "type of build_dependencies"),
    ],
)
def test_bad_catalog_entry_is_found(changes, problem):
    entry = json.loads(CATALOG.read_bytes()) | changes
    assert problem in catalog_problems(json.dumps(entry).encode())
    assert "line ends other than LF" in catalog_problems(CATALOG.read_bytes().replace(b"\n", b"\r\n"))


def test_catalog_entry_agrees_with_cmake():
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    entry = json.loads(CATALOG.read_bytes())
    assert f"project({CATALOG.stem})" in cmake
    assert f'EXTENSION_HOMEPAGE "{entry["scm_url"].removesuffix(".git")}"' in cmake
    assert f'EXTENSION_DEPENDS "{" ".join(entry["build_dependencies"])}"' in cmake


def test_one_version():
    citation = dict(re.findall(r"^([a-z-]+): (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[([0-9.]+)\] - ([0-9-]+)$", changelog, re.MULTILINE)
    assert newest.group(1) == citation["version"] == veloxseg.__version__
    assert newest.group(2) == citation["date-released"]


def test_changelog_keeps_its_format():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    parts = re.findall(r"^### (.*)$", changelog, re.MULTILINE)
    assert set(parts) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    versions = [tuple(map(int, one.split("."))) for one in re.findall(r"^## \[([0-9.]+)\]", changelog, re.MULTILINE)]
    assert versions == sorted(versions, reverse=True)


@pytest.mark.parametrize("code", sorted({*errors.TABLE, *errors.NOTES}))
def test_every_code_is_documented(code):
    formats = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert f"`{code}`" in formats or (code.startswith("RETRY_") and "`RETRY_*`" in formats)
