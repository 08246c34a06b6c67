"""A ticket code as a QR: version 6, level M, alphanumeric, as an SVG for pages or a matrix for paper.

Why no error boosting: level M fits version 6 exactly, and every phone at the door expects the same density.
"""

from __future__ import annotations

import io

import segno

_VERSION = 6
_QUIET_MODULES = 4
# Pixels a module takes in the SVG before the page scales it.
_SCALE = 6


def modules(code: str) -> tuple[tuple[bool, ...], ...]:
    """41 rows of 41 modules, True for dark, without the quiet zone. Raises ValueError for what does not fit."""
    return tuple(tuple(bool(module) for module in row) for row in _make(code).matrix)


def svg(code: str) -> str:
    """An SVG document with its quiet zone on white, so that it scans on a dark page too."""
    out = io.BytesIO()
    _make(code).save(
        out,
        kind="svg",
        scale=_SCALE,
        border=_QUIET_MODULES,
        dark="#000",
        light="#fff",
        xmldecl=False,
        svgns=True,
        omitsize=False,
        title="Ticket code",
        svgclass=None,
        lineclass=None,
    )
    # Without it browsers smooth the edges of modules when they scale.
    return out.getvalue().decode("utf-8").replace("<svg ", '<svg shape-rendering="crispEdges" ', 1)


def _make(code: str) -> segno.QRCode:
    return segno.make(code, version=_VERSION, error="m", mode="alphanumeric", micro=False, boost_error=False)
