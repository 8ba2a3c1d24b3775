"""Types at a program in a terminal: python3 terminal.py ANSWER... -- PROGRAM [ARGUMENT...]

Waits for a question that ends in ": " with the echo off before it types each
answer. Prints what the program printed, and ends as it ends; the terminal must
echo again then.
"""
import os
import pty
import sys
import termios
import time

split = sys.argv.index("--")
answers, command = sys.argv[1:split], sys.argv[split + 1:]
pid, fd = pty.fork()
if pid == 0:
    os.execv(command[0], command)
seen = b""
while True:
    try:
        data = os.read(fd, 4096)
    except OSError:  # the program has ended
        break
    if not data:
        break
    seen += data
    if answers and seen.endswith(b": "):
        deadline = time.monotonic() + 30
        while termios.tcgetattr(fd)[3] & termios.ECHO:
            if time.monotonic() > deadline:
                raise SystemExit("the terminal still echoes")
            time.sleep(0.01)
        answer = answers.pop(0).encode()
        # A line end behind Ctrl-C would be an empty answer, if it came first.
        os.write(fd, answer if answer.endswith(b"\x03") else answer + b"\n")
sys.stdout.buffer.write(seen)
sys.stdout.flush()
status = os.waitpid(pid, 0)[1]
if not termios.tcgetattr(fd)[3] & termios.ECHO:
    sys.exit("the terminal is left without echo")
sys.exit("answers left" if answers else os.waitstatus_to_exitcode(status))
