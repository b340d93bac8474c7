"""The workers of `kvstore.py`: each peer sums the same gradients over its workers, once for every line it reads.

Runs on MXNet's Python too, and imports nothing else of the benchmarks.
"""
import json
import os
import sys
import time

BUCKET_BYTES = 25 << 20     # DistributedDataParallel's own default


def resnet50():
    """Elements of ResNet-50's 161 parameters (25,557,032 in all), in the order of the layers."""
    sizes = [64 * 3 * 49, 64, 64]
    channels = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            for inside, out, area in ((channels, width, 1), (width, width, 9), (width, width * 4, 1)):
                sizes += [inside * out * area, out, out]
            if block == 0:
                sizes += [channels * width * 4, width * 4, width * 4]
            channels = width * 4
    return [*sizes, 2048 * 1000, 1000]


CASES = {"resnet50": resnet50(), "array": [25_000_000], "small": [256] * 200}


def mxdl(sizes):
    """`allreduce` of all keys in one call, as Trainer and Module do."""
    import torch

    import mxdl as mx
    torch.set_num_threads(1)
    store = mx.kv.create("dist_sync")
    grads = [torch.ones(size) for size in sizes]
    keys = list(range(len(sizes)))
    store.init(keys, [torch.zeros(size) for size in sizes])

    def fill():
        for grad in grads:
            grad.fill_(store.rank + 1)

    return fill, lambda: store.allreduce(keys, grads), store.barrier, lambda: [grad[0].item() for grad in grads]


def mxnet(sizes):
    """`push` and `pull` of all keys."""
    import mxnet as mx
    store = mx.kv.create("dist_sync")
    grads = [mx.nd.ones(size) for size in sizes]
    keys = list(range(len(sizes)))
    store.init(keys, [mx.nd.zeros(size) for size in sizes])

    def fill():
        for grad in grads:
            grad[:] = store.rank + 1
        mx.nd.waitall()

    def step():
        store.push(keys, grads)
        store.pull(keys, out=grads)
        mx.nd.waitall()

    return fill, step, store._barrier, lambda: [float(grad[0].asscalar()) for grad in grads]


def torch(sizes):
    """What DistributedDataParallel does: flat buckets, all-reduced asynchronously, copied back."""
    import torch
    import torch.distributed as dist
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    grads = [torch.ones(size) for size in sizes]
    buckets = [[]]
    for grad in grads:
        if buckets[-1] and sum(one.nbytes for one in buckets[-1]) + grad.nbytes > BUCKET_BYTES:
            buckets.append([])
        buckets[-1].append(grad)
    flats = [torch.empty(sum(grad.numel() for grad in bucket)) for bucket in buckets]

    def fill():
        for grad in grads:
            grad.fill_(dist.get_rank() + 1)

    def step():
        works = []
        for flat, bucket in zip(flats, buckets):
            torch.cat(bucket, out=flat)
            works.append(dist.all_reduce(flat, async_op=True))
        for work, flat, bucket in zip(works, flats, buckets):
            work.wait()
            torch._foreach_copy_(bucket, flat.split([grad.numel() for grad in bucket]))

    return fill, step, dist.barrier, lambda: [grad[0].item() for grad in grads]


def link(sizes):
    """No sum: the first worker of each half of them sends as many bytes to the other's first and receives as many, at
    once, over one plain socket.  What the link can do; `read` tells whether the other's bytes came.
    """
    import select
    import socket
    rank, workers = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if rank not in (0, workers // 2):
        return (lambda: None), (lambda: None), (lambda: None), list
    address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    if rank == 0:
        with socket.create_server(address) as listener:
            connection, _ = listener.accept()
    else:
        connection = _connected(address)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    size = 4 * sum(sizes)
    outgoing, incoming = memoryview(bytearray([rank + 1]) * size), memoryview(bytearray(size))

    def fill():
        incoming[:] = bytes(size)

    def barrier():
        connection.setblocking(True)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        connection.setblocking(False)

    def step():
        sent = received = 0
        poll = select.poll()
        while sent < size or received < size:
            # woken by the MiB, as mxdl's leaders are
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, max(1, min(1 << 20, size - received)))
            poll.register(connection, select.POLLIN * (received < size) | select.POLLOUT * (sent < size))
            for _, events in poll.poll():
                if events & select.POLLIN and received < size:
                    done = connection.recv_into(incoming[received:])
                    assert done, "the other end closed the connection"
                    received += done
                if events & select.POLLOUT and sent < size:
                    sent += connection.send(outgoing[sent:sent + (4 << 20)])

    def read():
        other = bytes([1 if rank else workers // 2 + 1])
        return [workers * (workers + 1) / 2 if bytes(incoming) == other * size else 0]

    return fill, step, barrier, read


def _connected(address):
    """A connection to who will listen there, within 20 s."""
    import socket
    for _ in range(200):
        try:
            return socket.create_connection(address)
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise ConnectionRefusedError(f"link: nobody listens on {address}")


def serve(peer, case, workers):
    """For each line read: everybody meets, then the sum is timed; the last line written tells whether it was right."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)      # whatever a library prints must not look like an answer
    fill, step, barrier, read = globals()[peer](CASES[case])
    wanted = workers * (workers + 1) / 2
    for _ in sys.stdin:
        fill()
        barrier()
        cpu, wall = time.process_time(), time.perf_counter()
        step()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        right = all(value == wanted for value in read())
        answers.write(json.dumps({"wall_s": wall, "cpu_s": cpu, "right": right}) + "\n")
        answers.flush()
        barrier()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
