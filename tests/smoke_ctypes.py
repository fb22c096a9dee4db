#!/usr/bin/python3
# smoke_ctypes.py LIBRARY - libcanp from Python through nothing but its binary interface: version, a
# block of the pool, a task whose function is written in Python and its future, metrics as text.
# Structures are laid out here by hand, as a binding would have them; exits 0 when all is well.
import ctypes as c
import errno
import sys

lib = c.CDLL(sys.argv[1])
P = c.c_void_p


def call(name, restype, *argtypes):
    f = getattr(lib, name)
    f.restype, f.argtypes = restype, argtypes
    return f


def expect(what, have, want):
    if have != want:
        sys.exit("smoke_ctypes: %s: have %r, want %r" % (what, have, want))


class Desc(c.Structure):  # struct canp_task_desc
    _fields_ = [("fn", P), ("arg", P), ("type", c.c_int), ("prio", c.c_int),
                ("blocks", c.POINTER(P)), ("nr_blocks", c.c_uint), ("timeout_ms", c.c_uint32),
                ("shard", c.c_int), ("start_at_ns", c.c_uint64), ("trace", c.c_uint8 * 25),
                ("done", P), ("done_arg", P)]


class Result(c.Structure):  # struct canp_task_result
    _fields_ = [("status", c.c_int), ("error", c.c_int), ("id", c.c_uint64), ("type", c.c_int),
                ("prio", c.c_int), ("shard", c.c_uint), ("created_ns", c.c_uint64),
                ("queue_ns", c.c_uint64), ("run_ns", c.c_uint64), ("trace", c.c_uint8 * 25),
                ("message", c.c_char * 64)]


class Env(c.Structure):  # struct canp_task_env
    _fields_ = [("exec", P), ("id", c.c_uint64), ("shard", c.c_uint), ("now_ns", c.c_uint64),
                ("blocks", c.POINTER(P)), ("nr_blocks", c.c_uint), ("message", P)]


class Strbuf(c.Structure):
    _fields_ = [("buf", c.c_char_p), ("len", c.c_size_t), ("cap", c.c_size_t), ("failed", c.c_bool)]


COMPLETED, FAILED, CPU, HIGH, FRAME = 3, 4, 1, 2, 2
version = call("canp_version", c.c_char_p)().decode()
expect("version", version.count("."), 2)

# Memory.
pool = P()
expect("pool", call("canp_mem_create", c.c_int, P, P)(None, c.byref(pool)), 0)
alloc = call("canp_mem_alloc", c.c_int, P, c.c_int, c.c_size_t, P)
release = call("canp_mem_release", c.c_int, P, P)
block = P()
expect("alloc", alloc(pool, FRAME, 300, c.byref(block)), 0)
expect("release", release(pool, block), 0)
expect("second release", release(pool, block), -errno.EINVAL)
call("canp_mem_destroy", None, P)(pool)

# A task in Python. ctypes takes the interpreter's lock on the reactor's thread.
ran = []


@c.CFUNCTYPE(c.c_int, c.POINTER(Env), P)
def task(env, arg):
    ran.append((arg, env.contents.id))
    return -errno.EIO if arg == 2 else 0


ex = P()
expect("exec", call("canp_exec_create", c.c_int, P, P)(None, c.byref(ex)), 0)
submit = call("canp_submit", c.c_int, P, P, P)
wait = call("canp_future_wait", c.c_int, P, c.c_uint32, P)
put = call("canp_future_put", None, P)
for arg, status, error in ((1, COMPLETED, 0), (2, FAILED, -errno.EIO)):
    d = Desc(fn=c.cast(task, P), arg=arg, type=CPU, prio=HIGH)
    f, r = P(), Result()
    expect("submit", submit(ex, c.byref(d), c.byref(f)), 0)
    expect("wait", wait(f, 60000, c.byref(r)), 0)
    put(f)
    expect("status", (r.status, r.error, r.type, r.prio), (status, error, CPU, HIGH))
    expect("ran", ran[-1], (arg, r.id))
call("canp_exec_destroy", None, P)(ex)

# Metrics. 16 KiB are more than struct canp_metrics needs.
sb, m = Strbuf(), c.create_string_buffer(16384)
call("canp_metrics_init", None, P, P, c.c_int)(m, c.byref(sb), 0)
call("canp_metrics_family", None, P, c.c_int, c.c_char_p, c.c_char_p, c.c_char_p)(
    m, 1, b"smoke_tasks", None, b"Tasks that ran.")
call("canp_metrics_u64", None, P, P, c.c_uint, c.c_uint64)(m, None, 0, len(ran))
expect("metrics", call("canp_metrics_finish", c.c_int, P)(m), 0)
text = sb.buf.decode()
expect("metrics text", "# TYPE smoke_tasks gauge" in text and "smoke_tasks 2\n" in text, True)
call("canp_strbuf_fini", None, P)(c.byref(sb))
print("libcanp %s from Python %s" % (version, sys.version.split()[0]))
