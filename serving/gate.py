"""What every request passes on its way in: who asks, may they, how often, how many, how long."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Annotated, Any, ClassVar

from fastapi import Depends, HTTPException, Request, Response
from fastapi.routing import APIRoute

from pipelines.rights import Caller
from serving.access import Access, bearer, is_loopback
from serving.limits import Limits
from serving.rate import Rate
from serving.slots import Slots, overloaded

Handler = Callable[[Request], Awaitable[Response]]


class Gate:
    """Lets requests through, within limits."""

    def __init__(self, access: Access, limits: Limits, pseudonym: Callable[[str], str]):
        self._access = access
        self._pseudonym = pseudonym
        self._limits = limits
        self._rate = Rate(limits.rate, limits.rate_storage)
        self.slots = Slots(limits.concurrent, limits.waiting, limits.wait_s)

    async def passed(self, request: Request, needs: str, handle: Handler) -> Response:
        """Answer a request; raises HTTPException for one that may not be answered."""
        caller = request.state.caller = await self._known(request)
        if caller is not None and needs not in caller.scopes:
            raise HTTPException(403, f"this token has no scope `{needs}`")
        with self.slots.entered():
            try:
                async with asyncio.timeout(self._limits.seconds):
                    return await handle(request)
            except TimeoutError:
                told = f"no answer within {self._limits.seconds:g} s; ask for less"
                raise HTTPException(504, told) from None
            except Exception as error:
                if is_out_of_memory(error):
                    raise overloaded("this query needs more memory than there is now") from error
                raise

    async def _known(self, request: Request) -> Caller | None:
        """Return the caller, and count them: failed attempts by the address they come from."""
        address = request.client.host if request.client else "unknown"
        try:
            caller = self._access.caller(request)
        except HTTPException:
            await self._rate.count(f"address {address}")
            raise
        if caller is not None:
            await self._rate.count(f"user {self._pseudonym(caller.user or '')}")
        elif not is_loopback(address):
            await self._rate.count(f"address {address}")
        return caller


class Guarded(APIRoute):
    """A route behind the gate, which is passed before anything of the body is read."""

    needs: ClassVar[str] = "search"

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request of this route."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            gate: Gate = request.app.state.gate
            return await gate.passed(request, self.needs, handle)

        return guarded


class ForFeedback(Guarded):
    """A route of those who may judge answers."""

    needs = "feedback"


class ForOperators(Guarded):
    """A route of those who may see how the server does."""

    needs = "operate"


async def _slot(request: Request) -> AsyncIterator[None]:
    async with request.app.state.gate.slots.taken():
        yield


async def _caller(request: Request) -> Caller | None:
    caller: Caller | None = request.state.caller
    return caller


with_token = Depends(bearer)
"""Documents that a token is asked for; `Guarded` is what asks."""
in_a_slot = Depends(_slot, scope="function")
"""Work, which begins once the whole request is there, is done in a slot."""
Asker = Annotated[Caller | None, Depends(_caller)]


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether the machine, or its accelerator, is out of memory."""
    torch = sys.modules.get("torch")
    return isinstance(error, MemoryError) or (
        torch is not None and isinstance(error, torch.OutOfMemoryError)
    )
