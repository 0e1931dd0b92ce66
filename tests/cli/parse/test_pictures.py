from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from upright.cli.parse.pictures import UnreadablePicture, cut_out, data_url, open_page, squashed
from upright.cli.parse.protocol import Block


def test_a_block_is_cut_out_and_turned_upright() -> None:
    page = Image.new("RGB", (500, 400), "white")
    page.paste("red", (100, 80, 200, 280))  # upright it lies on its side
    page.paste("blue", (100, 80, 200, 90))  # and this is what is at its left

    part = cut_out(page, Block("text", (200, 200, 400, 700), angle=90))

    assert part.size == (204, 104)  # three thousandths more at each side
    assert part.getpixel((0, 50)) == (255, 255, 255)
    assert part.getpixel((4, 50)) == (0, 0, 255)
    assert part.getpixel((100, 50)) == (255, 0, 0)


def test_what_is_around_a_block_ends_where_the_page_does() -> None:
    assert cut_out(Image.new("RGB", (1000, 1000)), Block("text", (0, 100, 1000, 200))).size == (1000, 106)


@pytest.mark.parametrize("box", [(0, 0, 1000, 10), (0, 0, 10, 1000), (5, 5, 6, 6)])
def test_what_is_thin_or_small_is_made_readable(box: tuple[int, int, int, int]) -> None:
    part = cut_out(Image.new("RGB", (2000, 2000), "black"), Block("text", box))

    assert min(part.size) >= 28
    assert max(part.size) <= 50 * min(part.size)


def test_files_are_opened_as_they_are_seen(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (40, 20), (0, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    turned = Image.new("RGB", (40, 20), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)

    assert open_page(tmp_path / "clear.png").getpixel((1, 1)) == (255, 255, 255)
    assert open_page(tmp_path / "turned.jpg").size == (20, 40)
    assert squashed(open_page(tmp_path / "turned.jpg")).size == (1036, 1036)


def test_what_is_no_picture_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    (tmp_path / "cut.png").write_bytes(file.getvalue()[:60])
    (tmp_path / "pages.pdf").write_text("%PDF-1.7")
    (tmp_path / "pages").mkdir()
    Image.new("1", (20_000, 5_001)).save(tmp_path / "large.png")
    Image.new("1", (20_000, 9_000)).save(tmp_path / "larger.png")

    for name, told in (
        ("notes.txt", "no picture"), ("cut.png", "cannot be read"), ("none.png", "there is no"),
        ("pages.pdf", "of each of its pages"), ("pages", "is a directory"), ("large.png", "100,000,000 pixels"),
        ("larger.png", "100,000,000 pixels"),
    ):  # fmt: skip
        with pytest.raises(UnreadablePicture, match=told) as caught:
            open_page(tmp_path / name)
        assert name in str(caught.value)


def test_a_data_url_holds_the_picture() -> None:
    picture = Image.linear_gradient("L").convert("RGB")
    kind, content = data_url(picture).split(",")
    assert kind == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(content))).tobytes() == picture.tobytes()
