"""Many requests at the same time: all at once, or a bounded number in flight."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

Result = TypeVar("Result")
Item = TypeVar("Item")


async def all_or_first_error(coroutines: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Run all at once; the first error cancels the rest, and is raised as it is, not inside a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [task.result() for task in tasks]


async def map_bounded(
    work: Callable[[Item], Awaitable[Result]], items: Iterable[Item], *, parallel: int
) -> list[Result]:
    """Call `work` on all items, at most `parallel` at a time; return results in the order of the items."""
    pending = iter(enumerate(items))
    results: dict[int, Result] = {}

    async def slot() -> None:
        for index, item in pending:
            results[index] = await work(item)

    await all_or_first_error(slot() for _ in range(parallel))
    return [results[index] for index in sorted(results)]
