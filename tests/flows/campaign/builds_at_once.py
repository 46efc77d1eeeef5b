"""Processes that build at one moment: N of them are forked when all is imported and the configuration is read, and
wait for each other to begin.

Arguments: the configuration, the store, and N.
"""

import os
import sys
from pathlib import Path

from molbuffer.flows.campaign.campaign import campaign_run
from molbuffer.flows.campaign.flow_runs import current_run_id
from molbuffer.flows.settings.settings import load_settings
from molbuffer.flows.tasks.build_request import build_requests
from molbuffer.flows.tasks.chunks import build_chunk
from molbuffer.storage import RunKind, SampleStore

settings = load_settings(Path(sys.argv[1]))


def build() -> None:
    with (
        SampleStore.open_or_create(Path(sys.argv[2])) as store,
        campaign_run(settings, store, RunKind.BUILD, current_run_id()) as campaign,
    ):
        for request in build_requests(campaign, 0, campaign.prior.sha256):
            build_chunk(campaign, request)


ready, begin = os.pipe()
children = []
for _ in range(int(sys.argv[3])):
    if (child := os.fork()) == 0:
        os.close(begin)
        os.read(ready, 1)
        build()
        os._exit(0)
    children.append(child)
os.close(begin)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
