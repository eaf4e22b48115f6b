# SPDX-License-Identifier: Apache-2.0
"""Profanity, a client for the terminal, in a real terminal, chats with slixmpp: two clients of different make."""

import asyncio
import unittest

import running
from slixmpp_client import Client
from terminal import Profanity


class ProfanityTests(unittest.IsolatedAsyncioTestCase):
    async def test_profanity_and_slixmpp_meet_chat_and_find_their_messages_on_return(self):
        asyncio.get_running_loop().set_debug(False)
        for user in ("carol", "dave"):
            await asyncio.to_thread(running.suite.add_user, user)
        dave = await Client("dave").log_in()
        self.addCleanup(dave.abort)
        carol = Profanity("carol")
        self.addCleanup(lambda: carol.close())
        await asyncio.to_thread(carol.see, "carol@localhost/profanity logged in successfully")

        carol.type("/sub request dave@localhost")
        await dave.until(lambda: ("carol@localhost", "subscribe") in dave.presences, "request")
        dave.send_presence_subscription("carol@localhost", ptype="subscribed")
        dave.send_presence_subscription("carol@localhost", ptype="subscribe")
        await asyncio.to_thread(carol.see, "authorization request from dave@localhost")
        carol.type("/sub allow dave@localhost")
        await dave.until(lambda: ("carol@localhost", "available") in dave.presences, "presence")

        carol.type("/msg dave@localhost Good morning, Dave")
        await dave.until(lambda: dave.bodies == ["Good morning, Dave"], "message")
        dave.send_message(mto="carol@localhost", mbody="Good morning, grüße 😀", mtype="chat")
        await asyncio.to_thread(carol.see, "Good morning, grüße")

        carol.type("/quit")
        await dave.until(lambda: ("carol@localhost", "unavailable") in dave.presences, "farewell")
        dave.send_message(mto="carol@localhost", mbody="while you were away", mtype="chat")
        await dave.ping()
        carol.close()
        carol = Profanity("carol")
        await asyncio.to_thread(carol.see, "dave@localhost")
        await asyncio.to_thread(carol.type, "/msg dave@localhost")
        await asyncio.to_thread(carol.see, "while you were away")
