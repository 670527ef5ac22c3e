//! Writing to standard output and standard error of a process that shares them with others.

use std::io::{self, Write};

/// A stream that waits if the other end reads slowly, even if another process made it non-blocking: being non-blocking is a
/// property of the pipe, not of the process, and JavaScript runtimes set it.
pub struct Patient<W> {
    inner: W,
    wait: fn() -> io::Result<()>,
}

impl<W: Write> Patient<W> {
    /// `wait` returns once the stream accepts more.
    pub fn new(inner: W, wait: fn() -> io::Result<()>) -> Patient<W> {
        Patient { inner, wait }
    }

    fn patiently<T>(&mut self, mut call: impl FnMut(&mut W) -> io::Result<T>) -> io::Result<T> {
        loop {
            match call(&mut self.inner) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (self.wait)()?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.patiently(|inner| inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.patiently(Write::flush)
    }
}

/// Returns standard output.
pub fn output() -> Patient<io::Stdout> {
    Patient::new(io::stdout(), wait_for_output)
}

/// Returns standard error.
pub fn errors() -> Patient<io::Stderr> {
    Patient::new(io::stderr(), wait_for_errors)
}

#[cfg(unix)]
fn wait_for_output() -> io::Result<()> {
    wait_for(rustix::stdio::stdout())
}

#[cfg(unix)]
fn wait_for_errors() -> io::Result<()> {
    wait_for(rustix::stdio::stderr())
}

#[cfg(unix)]
fn wait_for(stream: rustix::fd::BorrowedFd<'_>) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    match poll(&mut [PollFd::new(&stream, PollFlags::OUT)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// On these systems, writing to a standard stream never fails for lack of room.
#[cfg(not(unix))]
fn wait_for_output() -> io::Result<()> {
    std::thread::yield_now();
    Ok(())
}

#[cfg(not(unix))]
fn wait_for_errors() -> io::Result<()> {
    wait_for_output()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepts one byte on every second call.
    #[derive(Default)]
    struct Slow {
        taken: Vec<u8>,
        ready: bool,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.ready = !self.ready;
            match bytes.first() {
                Some(&byte) if !self.ready => {
                    self.taken.push(byte);
                    Ok(1)
                }
                _ => Err(io::ErrorKind::WouldBlock.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_stream_receives_everything() {
        let mut stream = Patient::new(Slow::default(), || Ok(()));
        stream.write_all(b"slowly but whole").expect("written");
        assert_eq!(stream.inner.taken, b"slowly but whole");
    }

    #[test]
    fn a_failed_wait_ends_the_write() {
        let mut stream = Patient::new(Slow::default(), || Err(io::ErrorKind::BrokenPipe.into()));
        let error = stream.write_all(b"x").expect_err("the wait fails");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
