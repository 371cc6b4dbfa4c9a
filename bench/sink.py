"""A consumer that answers at once: `python -m bench.sink` prints its port and serves until it is ended."""

from __future__ import annotations

import asyncio

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Consumer(asyncio.Protocol):
    """Answers each request of a connection, however they are cut into packets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins."""
        self._transport, self._read = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answers what is whole."""
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(self._read) < end + 4 + length:
                return
            self._read = self._read[end + 4 + length :]
            self._transport.write(ANSWER)  # type: ignore[attr-defined]  # TCP has one


async def main() -> None:
    """See the module."""
    server = await asyncio.get_running_loop().create_server(Consumer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
