# SPDX-License-Identifier: Apache-2.0
"""People talk while processes under them are restarted or exchanged: their clients resume, and nothing is lost."""

import os
import signal

import story
from talkers import Talker, TalkingStory


class RollingTests(TalkingStory):
    async def test_slixmpp_resumes_through_a_rolling_restart_and_loses_nothing(self):
        talkers = await self.talkers_everywhere()
        before = await self.pids()
        await self.talk_during(talkers, self.call("supervisor", "restart", "c2s"))
        after = await self.pids()
        self.assertTrue(all(after[name] != before[name] for name in before if name.startswith("c2s")))
        await self.assert_resumed(talkers)

    async def test_contacts_talk_on_through_an_upgrade_and_see_no_presence_flicker(self):
        await self.call("supervisor", "scale", "sm", "2")
        talkers = await self.contacts_everywhere()
        before, seen = await self.pids(), [list(talker.presences) for talker in talkers]
        await self.talk_during(talkers, self.call("supervisor", "upgrade", "--binaries", str(story.binaries)))
        after = await self.pids()
        self.assertEqual(set(after), set(before))
        self.assertEqual([name for name in before if before[name] == after[name]], ["postgresql"])
        await self.assert_resumed(talkers)
        self.assertEqual([talker.presences for talker in talkers], seen)

    async def test_nobody_notices_that_sm_is_killed(self):
        talkers = await self.contacts_everywhere()
        before, seen = await self.pids(), [list(talker.presences) for talker in talkers]
        await self.talk_during(talkers, self.kill("sm-1"))
        self.assertNotEqual((await self.pids())["sm-1"], before["sm-1"])
        self.assertEqual([(talker.logins, talker.cuts) for talker in talkers], [(1, 0)] * len(talkers))
        self.assertEqual([talker.presences for talker in talkers], seen)

    async def contacts_everywhere(self) -> list[Talker]:
        """Each sees the presence of the next one, and is seen by it."""
        talkers = await self.talkers_everywhere()
        for talker, neighbour in zip(talkers, talkers[1:]):
            await talker.befriend(neighbour)
        return talkers

    async def kill(self, name: str) -> None:
        pid = (await self.pids())[name]
        os.kill(pid, signal.SIGKILL)
        await self.until_returned(name, pid)
