"""Tests of process tags, process slugs and the heartbeat, with real processes."""

import datetime as dt
import os
import re
import subprocess
import sys

import pytest

from pipeline.process.identity import SLUG, process_of, slug_has_exited
from pipeline.run.heartbeat import process_tags, read_process_tags
from pipeline.tags import TAG_HEARTBEAT, TAG_HOST, TAG_PROCESS
from tests.support.paths import ROOT

pytestmark = pytest.mark.run


def test_process_tags_are_read_back_and_malformed_ones_are_none() -> None:
    process, beat = read_process_tags(process_tags()) or pytest.fail()
    assert abs(dt.datetime.now(dt.UTC) - beat) < dt.timedelta(minutes=5)
    assert process.start.isdigit() and process.boot and process.namespace.isdigit()
    assert read_process_tags({}) is None
    for text in (
        "",
        "pid",
        "pid=x start=1 boot=b namespace=n",
        "pid=1 start=1",
        "pid=1 colour=red",
    ):
        assert read_process_tags({**process_tags(), TAG_PROCESS: text}) is None
    [text] = process_tags().values()
    words = [word for word in text.split() if not word.startswith(("host=", "heartbeat="))]
    assert read_process_tags({TAG_PROCESS: " ".join([*words, "host=h", "heartbeat=today"])}) is None
    # As earlier releases tagged runs.
    older = {TAG_PROCESS: " ".join(words), TAG_HOST: process.host, TAG_HEARTBEAT: beat.isoformat()}
    assert read_process_tags(older) == (process, beat)
    assert read_process_tags({**older, TAG_HEARTBEAT: "today"}) is None


def test_slug_has_exited_only_for_an_exited_process_of_this_place(
    process: "subprocess.Popen[bytes]",
) -> None:
    identity = process_of(process.pid)
    slug = identity.slug()
    assert re.fullmatch(SLUG, slug) and not slug_has_exited(slug)
    assert slug_has_exited(identity._replace(start="1").slug()), "the id was reused"
    process.kill()
    process.wait()
    assert slug_has_exited(slug)
    for elsewhere in ({"host": "h"}, {"boot": "b"}, {"namespace": "1"}):
        assert not slug_has_exited(identity._replace(**elsewhere).slug())


HIDEPID = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"'
AS_ANOTHER_USER = """
import os, sys
from pipeline.process.identity import process_of, start_of
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
pid, start = int(sys.argv[1]), sys.argv[2]
here = process_of(pid)._replace(start=start)
gone = [here._replace(pid=one).has_exited() for one in (pid, 2**22 + 1, 10**30)]
print([start_of(pid), *gone])
"""


@pytest.mark.skipif(os.getuid() != 0, reason="mounts a /proc, and becomes another user")
def test_process_hidden_from_this_user_has_not_exited(
    process: "subprocess.Popen[bytes]",
) -> None:
    identity = process_of(process.pid)
    command = ("unshare", "--mount", "sh", "-c", HIDEPID, "sh")
    done = subprocess.run(
        [*command, sys.executable, "-c", AS_ANOTHER_USER, str(identity.pid), identity.start],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(done.stderr)
    assert done.stdout == "['', False, True, True]\n", done.stderr


def test_heartbeat_does_not_delay_the_end_of_its_process() -> None:
    script = (
        "from pipeline.run.heartbeat import Heartbeat; Heartbeat(None, 'x').start(); print('end')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
