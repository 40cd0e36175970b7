import cv2
import numpy as np
import pytest

from maskrt.calibration.images import choose_images
from maskrt.runtime import ArgumentError


def write_pictures(folder, count):
    folder.mkdir(exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:03d}.png"), np.full((4, 5, 3), number, np.uint8))
    return folder


def write_video(path, count):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for number in range(count):
        writer.write(np.full((48, 64, 3), 10 * number, np.uint8))
    writer.release()
    return path


def test_the_same_seed_gives_the_same_images(tmp_path):
    folder = write_pictures(tmp_path / "a", 30)
    first, again, other = (choose_images([folder], 10, seed) for seed in (0, 0, 1))
    assert first.files == again.files
    assert first.fingerprint() == again.fingerprint()
    assert set(first.files) != set(other.files)
    assert len(first) == len(set(first.files)) == 10
    values = [int(image[0, 0, 0]) for image in first.read(pytest.fail)]
    assert values == [int(file.stem) for file in first.files]


def test_all_where_there_are_fewer_than_asked_for(tmp_path):
    assert len(choose_images([write_pictures(tmp_path / "a", 9)], 64, 0)) == 9


def test_the_fingerprint_follows_the_content(tmp_path):
    folder = write_pictures(tmp_path / "a", 9)
    before = choose_images([folder], 9, 0).fingerprint()
    cv2.imwrite(str(folder / "004.png"), np.full((4, 5, 3), 99, np.uint8))
    assert choose_images([folder], 9, 0).fingerprint() != before


def test_images_of_several_folders_globs_and_videos(tmp_path):
    folder, video = write_pictures(tmp_path / "a", 9), write_video(tmp_path / "clip.avi", 25)
    write_pictures(tmp_path / "b", 30)
    sample = choose_images([folder, tmp_path / "b" / "00*.png", video], 100, 0)
    assert len(sample) == len(list(sample.read(pytest.fail))) == 9 + 10 + 25
    assert {file.parent.name for file in sample.files} == {"a", "b"}
    assert dict(sample.frames) == {video: tuple(range(25))}
    some = choose_images([folder, tmp_path / "b" / "00*.png", video], 20, 0)
    assert len(some) == 20
    assert list(some.frames[video]) == sorted(some.frames[video])
    assert some.fingerprint() != sample.fingerprint()


def test_frames_of_a_video(tmp_path):
    path = write_video(tmp_path / "clip.avi", 25)
    # Told by its content: the name may be any.
    sample = choose_images([path.rename(tmp_path / "clip")], 9, 0)
    (numbers,) = sample.frames.values()
    assert len(sample) == 9
    frames = list(sample.read(pytest.fail))
    assert [image.shape for image in frames] == [(48, 64, 3)] * 9
    assert [round(image.mean() / 10) for image in frames] == list(numbers)


def test_an_image_that_cannot_be_read_is_named_and_left_out(tmp_path):
    folder = write_pictures(tmp_path / "a", 9)
    (folder / "004.png").write_bytes(b"not a picture")
    left_out: list[str] = []
    assert len(list(choose_images([folder], 9, 0).read(left_out.append))) == 8
    (sentence,) = left_out
    assert "004.png" in sentence


def test_a_video_that_was_cut_off_after_its_frames_were_chosen(tmp_path):
    sample = choose_images([write_video(tmp_path / "clip.avi", 25)], 25, 0)
    write_video(tmp_path / "clip.avi", 10)
    left_out: list[str] = []
    assert len(list(sample.read(left_out.append))) == 10
    assert [sentence.split()[-4] for sentence in left_out] == [str(number) for number in range(10, 25)]


@pytest.mark.parametrize(
    ("count", "asked", "message"),
    [
        (0, 64, "there is no image in this folder"),
        (3, 64, "with 3 images of .* is too few.* 64 typical ones are sensible, 8 the least"),
        (30, 5, "with 5 images"),
    ],
)
def test_too_few(tmp_path, count, asked, message):
    folder = write_pictures(tmp_path / "a", count)
    with pytest.raises(ArgumentError, match=message):
        choose_images([folder], asked, 0)


def test_what_is_not_there_or_no_video(tmp_path):
    with pytest.raises(ArgumentError, match="there is no such file or folder"):
        choose_images([tmp_path / "nowhere"], 8, 0)
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    with pytest.raises(ArgumentError, match="is not a video that OpenCV can open"):
        choose_images([tmp_path / "broken.mp4"], 8, 0)


def test_a_folder_of_all_sorts(tmp_path):
    """Videos in folders are taken; what cannot be read is named and left out, and nothing stops for it."""
    folder = write_pictures(tmp_path / "a", 9)
    write_video(folder / "clip.avi", 12)
    (folder / "broken.mp4").write_bytes(b"nothing")
    (folder / "photo.heic").write_bytes(b"something")
    (folder / "notes.txt").write_text("mine")
    left_out: list[str] = []
    sample = choose_images([folder], 100, 0, left_out.append)
    assert len(sample) == 9 + 12
    assert dict(sample.frames) == {folder / "clip.avi": tuple(range(12))}
    heic, broken, others = left_out
    assert "1 picture in .heic cannot be read here" in heic
    assert "broken.mp4 is not a video that OpenCV can open" in broken
    assert "1 other file passed over (1 with .txt)" in others
    assert len(list(sample.read(pytest.fail))) == 21


def test_a_file_that_is_not_there_any_more(tmp_path):
    folder = write_pictures(tmp_path / "a", 9)
    sample = choose_images([folder], 9, 0)
    (folder / "004.png").unlink()
    left_out: list[str] = []
    assert len(list(sample.read(left_out.append))) == 8
    assert "004.png: there is no such file" in left_out[0]
    assert sample.fingerprint()  # of those that are there


@pytest.mark.parametrize("name", ["photo.heic", "broken.mp4"])
def test_nothing_in_a_folder_can_be_read(tmp_path, name):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / name).write_bytes(b"something")
    with pytest.raises(ArgumentError, match=name.partition(".")[2] if name == "photo.heic" else name):
        choose_images([tmp_path / "a"], 9, 0)
