"""What stands beside the pixels: kept, brought up to date, or lost with a warning that names it (docs/formats.md)."""

from __future__ import annotations

import io
import struct
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage
from PIL import PngImagePlugin

from enhancer.codecs import Limits, decode, encode
from enhancer.options import OutputOptions
from tests.cases.conftest import Enhance
from tests.cases.making import HEIGHT, WIDTH, chunk, jpeg, photograph, png, with_segments, xmp
from tests.cases.reading import chunks, segments

LIMITS = Limits(max_bytes=1 << 24, max_pixels=1 << 24, max_pages=9)
RESOURCE = 'rdf:parseType="Resource"'
AREA = "http://ns.adobe.com/xmp/sType/Area#"
DIMENSIONS = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
GPANO = "http://ns.google.com/photos/1.0/panorama/"
GOOGLE = "http://ns.google.com/photos/1.0/"


def packet_of(data: bytes) -> bytes:
    mark = b"http://ns.adobe.com/xap/1.0/\0"
    return next(body[len(mark) :] for marker, body in segments(data) if marker == 0xE1 and body.startswith(mark))


def properties(packet: bytes, namespace: str) -> dict[str, str]:
    """Simple properties of a namespace by local name, attributes and elements alike."""
    found = {}
    for element in ElementTree.fromstring(packet.strip()).iter():
        for name, value in [*element.attrib.items(), (element.tag, (element.text or "").strip())]:
            if name.startswith(f"{{{namespace}}}"):
                found[name.partition("}")[2]] = value
    return found


def test_texts_and_times_of_a_png(enhance: Enhance) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "a cat on a sofa\nSteps: 40")
    text.add_text("workflow", '{"nodes": []}', zip=True)
    text.add_itxt("Copyright", "© 2024 Archive A")
    stream = io.BytesIO()
    photograph().save(stream, "PNG", pnginfo=text)
    data = stream.getvalue()
    time = chunk(b"tIME", struct.pack(">HBBBBB", 2024, 5, 6, 7, 8, 9))
    made = enhance(data[:33] + time + data[33:], "a.png")
    with PillowImage.open(io.BytesIO(made.data)) as image:
        assert image.text["parameters"] == "a cat on a sofa\nSteps: 40"
        assert image.text["workflow"] == '{"nodes": []}'
        assert image.text["Copyright"] == "© 2024 Archive A"
    assert (b"tIME", time[8:-4]) in list(chunks(made.data))
    into_jpeg = enhance(data, "a.png", scale=1, output={"format": "JPEG"})
    assert into_jpeg.warned_of("parameters, workflow, Copyright")


def test_a_damaged_text_costs_nothing_but_itself() -> None:
    data = png(np.asarray(photograph()), chunk(b"tEXt", b"no separator"), chunk(b"tEXt", b"Title\0kept"))
    page = decode(data, name="a", limits=LIMITS).first
    assert page.metadata.texts == ((b"tEXt", b"Title\0kept"),)
    assert any("tEXt" in warning for warning in page.metadata.warnings)


def test_comments_of_a_jpeg(enhance: Enhance) -> None:
    data = with_segments(jpeg(photograph()), (0xFE, b"sheet 12, 1931"), (0xFE, b"\xff\0 second"))
    made = enhance(data, "a.jpg")
    assert [body for marker, body in segments(made.data) if marker == 0xFE] == [b"sheet 12, 1931", b"\xff\0 second"]
    assert enhance(data, "a.jpg", scale=1, output={"format": "PNG"}).warned_of("comments")


def tagged(pixels: np.ndarray, tags: list, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, photometric="rgb", metadata=None, extratags=tags, **options)
    return stream.getvalue()


def tags_of(data: bytes) -> dict[int, object]:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return {tag.code: tag.value for tag in file.pages[0].tags}


@pytest.mark.parametrize("order", ["<", ">"])
def test_names_and_numbers_of_scanned_pages(enhance: Enhance, order: str) -> None:
    scanned = [(269, 2, 0, "box 4/sheet 12.tif", True), (285, 2, 0, "recto", True), (297, 3, 2, (12, 40), True)]
    made = enhance(tagged(np.asarray(photograph()), scanned, byteorder=order), "a.tif")
    found = tags_of(made.data)
    assert (found[269], found[285], found[297]) == ("box 4/sheet 12.tif", "recto", (12, 40))


def geo_keys(raster: int) -> tuple[int, ...]:
    return (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, raster, 1026, 34737, 4, 0)


def geo(raster: int, place: list) -> bytes:
    keys = geo_keys(raster)
    rest = [(34735, 3, len(keys), keys, True), (34736, 12, 1, (6378137.0,), True), (34737, 2, 0, "UTM|", True),
            (42112, 2, 0, "<GDALMetadata></GDALMetadata>", True), (42113, 2, 0, "0", True)]  # fmt: skip
    return tagged(np.asarray(photograph()), [*place, *rest])


def corners(found: dict[int, object], raster: int) -> np.ndarray:
    """Coordinates of the four corners of the picture (OGC GeoTIFF 1.1, 7.2 and annex B.6)."""
    half = 0.5 if raster == 2 else 0.0
    width, height = found[256], found[257]
    points = np.array([(0, 0), (width, 0), (0, height), (width, height)]) - half
    if 34264 in found:
        matrix = np.reshape(found[34264], (4, 4))
        return points @ matrix[:2, :2].T + matrix[:2, 3]
    tie, scale = found[33922], found[33550]
    return np.stack([tie[3] + (points[:, 0] - tie[0]) * scale[0], tie[4] - (points[:, 1] - tie[1]) * scale[1]], 1)


@pytest.mark.parametrize("raster", [1, 2])
@pytest.mark.parametrize(
    "place",
    [
        [(33550, 12, 3, (10.0, 10.0, 0.0), True), (33922, 12, 6, (0.0, 0.0, 0.0, 5e5, 56e5, 0.0), True)],
        [(33550, 12, 3, (10.0, 8.0, 0.0), True), (33922, 12, 6, (7.0, 3.0, 0.0, 5e5, 56e5, 0.0), True)],
        [(34264, 12, 16, (10.0, 1.0, 0, 5e5, -1.0, -9.0, 0, 56e5, 0, 0, 0, 0, 0, 0, 0, 1.0), True)],
    ],
)
def test_every_corner_keeps_its_coordinates(enhance: Enhance, raster: int, place: list) -> None:
    data = geo(raster, place)
    made = tags_of(enhance(data, "a.tif").data)
    given = tags_of(data)
    assert made[256] == 2 * given[256]
    np.testing.assert_allclose(corners(made, raster), corners(given, raster), rtol=0, atol=1e-6)
    assert all(made[code] == given[code] for code in (34735, 34736, 34737, 42112, 42113))
    assert enhance(data, "a.tif", scale=1, output={"format": "PNG"}).warned_of("34735")


def test_resolution_without_a_unit_stays_without(enhance: Enhance) -> None:
    data = tagged(np.asarray(photograph()), [], resolution=(1, 1), resolutionunit=1)
    assert tags_of(enhance(data, "a.tif").data)[296] == 1


REGION = (
    f'<mwg-rs:Regions {RESOURCE}><mwg-rs:AppliedToDimensions stDim:w="{WIDTH}" stDim:h="{HEIGHT}" stDim:unit="pixel"/>'
    f"<mwg-rs:RegionList><rdf:Bag><rdf:li {RESOURCE}><mwg-rs:Name>Ann</mwg-rs:Name>"
    "{area}</rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
)
AREAS = {
    "attributes": '<mwg-rs:Area stArea:x="0.75" stArea:y="0.25" stArea:w="0.1" stArea:h="0.2" stArea:unit="normalized"/>',
    "elements": f"<mwg-rs:Area {RESOURCE}><stArea:x>0.75</stArea:x><stArea:y>0.25</stArea:y><stArea:w>0.1</stArea:w>"
    "<stArea:h>0.2</stArea:h><stArea:unit>normalized</stArea:unit></mwg-rs:Area>",
}
SPACES = {"mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/", "stArea": AREA, "stDim": DIMENSIONS}


def box_in(shape: np.ndarray) -> tuple[float, float, float, float]:
    """Centre and size of what is set, as fractions."""
    rows, columns = np.nonzero(shape)
    height, width = shape.shape
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    return (left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height


def upright_mask(orientation: int) -> np.ndarray:
    """The region drawn into the stored picture and turned by Pillow."""
    stored = np.zeros((400, 600), np.uint8)
    stored[60:140, 420:480] = 255  # centre 0.75, 0.25; size 0.1, 0.2
    image = PillowImage.fromarray(stored)
    ways = PillowImage.Transpose
    turn = {2: ways.FLIP_LEFT_RIGHT, 3: ways.ROTATE_180, 4: ways.FLIP_TOP_BOTTOM, 5: ways.TRANSPOSE,
            6: ways.ROTATE_270, 7: ways.TRANSVERSE, 8: ways.ROTATE_90}.get(orientation)  # fmt: skip
    return np.asarray(image if turn is None else image.transpose(turn))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", AREAS)
def test_regions_turn_with_the_picture(orientation: int, form: str) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    region = REGION.replace("{area}", AREAS[form])
    data = jpeg(photograph(), xmp(SPACES, "", region), exif=exif)
    made = encode(decode(data, name="a", limits=LIMITS), options=OutputOptions()).data
    area = properties(packet_of(made), AREA)
    expected = box_in(upright_mask(orientation))
    np.testing.assert_allclose([float(area[name]) for name in "xywh"], expected, atol=1e-6)
    size = properties(packet_of(made), DIMENSIONS)
    wide = PillowImage.open(io.BytesIO(made)).size
    assert (int(size["w"]), int(size["h"])) == wide


@pytest.mark.parametrize("orientation", range(2, 9))
def test_microsofts_and_iptcs_regions_turn_as_well(orientation: int) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    spaces = {
        "MP": "http://ns.microsoft.com/photo/1.2/t/Region#",
        "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    }
    inner = (
        '<MP:Regions rdf:parseType="Resource"><MP:Rectangle>0.7, 0.15, 0.1, 0.2</MP:Rectangle></MP:Regions>'
        '<Iptc4xmpExt:RegionBoundary rdf:parseType="Resource"><Iptc4xmpExt:rbUnit>relative</Iptc4xmpExt:rbUnit>'
        "<Iptc4xmpExt:rbX>0.7</Iptc4xmpExt:rbX><Iptc4xmpExt:rbY>0.15</Iptc4xmpExt:rbY>"
        "<Iptc4xmpExt:rbW>0.1</Iptc4xmpExt:rbW><Iptc4xmpExt:rbH>0.2</Iptc4xmpExt:rbH></Iptc4xmpExt:RegionBoundary>"
    )
    data = jpeg(photograph(), xmp(spaces, "", inner), exif=exif)
    packet = packet_of(encode(decode(data, name="a", limits=LIMITS), options=OutputOptions()).data)
    x, y, w, h = box_in(upright_mask(orientation))
    corner = (x - w / 2, y - h / 2, w, h)
    rectangle = properties(packet, spaces["MP"])["Rectangle"]
    np.testing.assert_allclose([float(part) for part in rectangle.split(",")], corner, atol=1e-6)
    boundary = properties(packet, spaces["Iptc4xmpExt"])
    np.testing.assert_allclose([float(boundary[name]) for name in ("rbX", "rbY", "rbW", "rbH")], corner, atol=1e-6)


SPHERE = {"FullPanoWidth": 768, "FullPanoHeight": 384, "CroppedAreaImageWidth": 384, "CroppedAreaImageHeight": 256,
          "CroppedAreaLeft": 192, "CroppedAreaTop": 64}  # fmt: skip


@pytest.mark.parametrize("form", ["attributes", "elements"])
def test_a_photo_sphere_grows_with_its_picture(enhance: Enhance, form: str) -> None:
    if form == "attributes":
        segment = xmp({"GPano": GPANO}, " ".join(f'GPano:{key}Pixels="{value}"' for key, value in SPHERE.items()))
    else:
        inner = "".join(f"<GPano:{key}Pixels>{value}</GPano:{key}Pixels>" for key, value in SPHERE.items())
        segment = xmp({"GPano": GPANO}, "", inner)
    made = enhance(jpeg(photograph("rocket"), segment), "a.jpg")
    found = properties(packet_of(made.data), GPANO)
    assert {key: int(found[f"{key}Pixels"]) for key in SPHERE} == {key: 2 * value for key, value in SPHERE.items()}


def test_sizes_that_xmp_repeats_are_those_of_the_result(enhance: Enhance) -> None:
    spaces = {"tiff": "http://ns.adobe.com/tiff/1.0/", "exif": "http://ns.adobe.com/exif/1.0/"}
    listed = f'tiff:ImageWidth="{WIDTH}" tiff:ImageLength="{HEIGHT}" exif:PixelXDimension="{WIDTH}" exif:PixelYDimension="{HEIGHT}"'
    packet = packet_of(enhance(jpeg(photograph(), xmp(spaces, listed)), "a.jpg").data)
    assert properties(packet, spaces["tiff"]) == {"ImageWidth": str(2 * WIDTH), "ImageLength": str(2 * HEIGHT)}
    assert properties(packet, spaces["exif"])["PixelXDimension"] == str(2 * WIDTH)


NAMES = {"hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/", "GCamera": GOOGLE + "camera/",
         "Container": GOOGLE + "container/", "Item": GOOGLE + "container/item/"}  # fmt: skip


def directory(*items: tuple[str, str, int]) -> str:
    item = (
        '<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="{}" Item:Mime="{}" Item:Length="{}"/></rdf:li>'
    )
    listed = "".join(item.format(*one) for one in items)
    return f"<Container:Directory><rdf:Seq>{listed}</rdf:Seq></Container:Directory>"


def with_gain_map() -> bytes:
    gain = jpeg(photograph("rocket", (24, 16)).convert("L"), xmp(NAMES, 'hdrgm:Version="1.0"'))
    primary = ("Primary", "image/jpeg", 0)
    inner = directory(primary, ("GainMap", "image/jpeg", len(gain)))
    return jpeg(photograph("rocket"), xmp(NAMES, 'hdrgm:Version="1.0"', inner)) + gain


VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(range(256)) * 9


def with_video() -> bytes:
    marks = f'GCamera:MotionPhoto="1" GCamera:MicroVideo="1" GCamera:MicroVideoOffset="{len(VIDEO)}" GCamera:Other="1"'
    inner = directory(("Primary", "image/jpeg", 0), ("MotionPhoto", "video/mp4", len(VIDEO)))
    return jpeg(photograph("rocket"), xmp(NAMES, marks, inner)) + VIDEO


@pytest.mark.parametrize(("make", "word"), [(with_gain_map, "gain map"), (with_video, "Motion Photo")])
def test_a_second_file_goes_with_every_pointer_to_it(enhance: Enhance, make: object, word: str) -> None:
    data = make()
    made = enhance(data, "a.jpg")
    packet = packet_of(made.data)
    assert made.warned_of(word)
    assert not properties(packet, NAMES["hdrgm"])
    assert not properties(packet, NAMES["Item"])
    assert set(properties(packet, NAMES["GCamera"])) <= {"Other"}
    assert len(made.data) == made.data.rindex(b"\xff\xd9") + 2
    private = enhance(data, "a.jpg", scale=1, output={"strip_private": True})
    assert private.warned_of(word)
    assert not properties(packet_of(private.data), NAMES["Item"])


@pytest.mark.parametrize("make", [with_gain_map, with_video])
def test_where_nothing_changes_it_stays_whole(enhance: Enhance, make: object) -> None:
    made = enhance(make(), "a.jpg", scale=1)
    assert made.data == make()
    assert not made.record.warnings


def test_the_second_picture_of_an_mpo_is_named(enhance: Enhance) -> None:
    stream = io.BytesIO()
    photograph("rocket").save(stream, "MPO", save_all=True, append_images=[photograph()], quality=95)
    assert enhance(stream.getvalue(), "a.mpo").warned_of("MPO")


def test_a_lossless_webp_stays_lossless(enhance: Enhance) -> None:
    for lossless, kind in ((True, b"VP8L"), (False, b"VP8 ")):
        stream = io.BytesIO()
        photograph().save(stream, "WEBP", lossless=lossless, quality=90)
        made = enhance(stream.getvalue(), "a.webp").data
        assert kind in (made[12:16], made[made.find(kind) :][:4])


def test_a_lossless_avif_becomes_a_lossless_file(enhance: Enhance) -> None:
    import imagecodecs

    made = enhance(bytes(imagecodecs.avif_encode(np.asarray(photograph()), level=100)), "a.avif")
    assert made.record.output == "a.avif.png"
    assert made.data.startswith(b"\x89PNG")


IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def test_the_result_says_how_it_came_to_be(enhance: Enhance) -> None:
    made = enhance(jpeg(photograph()), "a.jpg")
    assert properties(packet_of(made.data), IPTC)["DigitalSourceType"] == SOURCE + "algorithmicallyEnhanced"


@pytest.mark.parametrize(
    ("stated", "expected"),
    [("digitalCapture", "algorithmicallyEnhanced"), ("trainedAlgorithmicMedia", "trainedAlgorithmicMedia")],
)
def test_what_the_picture_said_before_counts(enhance: Enhance, stated: str, expected: str) -> None:
    data = jpeg(photograph(), xmp({"Iptc4xmpExt": IPTC}, f'Iptc4xmpExt:DigitalSourceType="{SOURCE}{stated}"'))
    packet = packet_of(enhance(data, "a.jpg").data)
    assert packet.count(b"DigitalSourceType=") == 1
    assert properties(packet, IPTC)["DigitalSourceType"] == SOURCE + expected


def test_the_privacy_switch_takes_texts_comments_and_places() -> None:
    for data in (
        png(np.asarray(photograph()), chunk(b"zTXt", b"Author\0\0" + zlib.compress(b"Ann"))),
        with_segments(jpeg(photograph()), (0xFE, b"Ann")),
        geo(1, [(33550, 12, 3, (10.0, 10.0, 0.0), True), (33922, 12, 6, (0.0, 0.0, 0.0, 5e5, 56e5, 0.0), True)]),
    ):
        document = decode(data, name="a", limits=LIMITS)
        made = encode(document, options=OutputOptions(strip_private=True)).data
        again = decode(made, name="a", limits=LIMITS).first.metadata
        assert (again.texts, again.comments, again.tags) == ((), (), ())
