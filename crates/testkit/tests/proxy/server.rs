//! A small object store over HTTP that remembers what it was sent, and says what a test told it to.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::Builder,
};

/// The server; it runs until the test's process ends.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// What the server knows.
#[derive(Default)]
pub(crate) struct State {
    /// Every request, in the order of their ends.
    pub(crate) received: Vec<Received>,
    /// Bytes of bodies so far, of requests that have not ended too.
    pub(crate) body_bytes: usize,
    /// Answers that were sent, and the connection closed where it had to be.
    pub(crate) answered: usize,
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    scripts: VecDeque<Script>,
    /// Parts of answers that may be sent.
    permits: usize,
}

/// A request on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    /// Whether the connection lasted until its end.
    pub(crate) whole: bool,
}

/// What is done with the next request, in place of what an object store does.
pub(crate) enum Script {
    /// This answer.
    Answer(Vec<u8>),
    /// This answer, then the connection is closed.
    AnswerAndClose(Vec<u8>),
    /// This answer and the end of the connection, without a look at the body.
    Unread(Vec<u8>),
    /// Parts of an answer, each but the first one when the test permits it.
    Parts(Vec<Vec<u8>>),
    /// No answer.
    Silence,
}

impl Server {
    pub(crate) fn start() -> Server {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are ports");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let server = Server {
            address,
            shared: Arc::clone(&shared),
        };
        start(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("it accepts");
                let shared = Arc::clone(&shared);
                start(move || shared.serve(stream));
            }
        });
        server
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    pub(crate) fn script(&self, script: Script) {
        self.state().scripts.push_back(script);
    }

    /// The next answer.
    pub(crate) fn say(&self, answer: impl Into<Vec<u8>>) {
        self.script(Script::Answer(answer.into()));
    }

    /// Lets one more part of an answer go.
    pub(crate) fn permit(&self) {
        self.state().permits += 1;
        self.shared.changed.notify_all();
    }

    /// Waits until something is so.
    pub(crate) fn until(&self, is_so: impl Fn(&State) -> bool) {
        drop(self.shared.until(is_so));
    }

    /// The requests so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.state().received.clone()
    }

    pub(crate) fn put(&self, path: &str, body: &[u8]) {
        let mut state = self.state();
        state.objects.insert(path.to_owned(), body.to_vec());
    }

    pub(crate) fn object(&self, path: &str) -> Option<Vec<u8>> {
        self.state().objects.get(path).cloned()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the server does not panic")
    }

    fn until(&self, is_so: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = self.lock();
        let waited = self.changed.wait_while(state, |state| !is_so(state));
        waited.expect("the server does not panic")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn serve(&self, stream: TcpStream) {
        stream.set_nodelay(true).expect("it is connected");
        let mut stream = BufReader::new(stream);
        while self.serve_one(&mut stream).is_some() {}
        drop(stream);
        self.change(|state| state.answered += 1);
    }

    /// `None` where the connection ends.
    fn serve_one(&self, stream: &mut BufReader<TcpStream>) -> Option<()> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            let read = stream.read_until(b'\n', &mut bytes);
            if !read.is_ok_and(|count| count > 0) {
                if !bytes.is_empty() {
                    let whole = false;
                    self.change(|state| state.received.push(Received { bytes, whole }));
                }
                return None;
            }
        }
        let head = String::from_utf8_lossy(&bytes).into_owned();
        let script = self.lock().scripts.pop_front();
        if let Some(Script::Unread(answer)) = &script {
            stream.get_mut().write_all(answer).ok()?;
            stream.get_mut().shutdown(Shutdown::Write).ok()?;
            let _ = stream.read_to_end(&mut Vec::new());
            return None;
        }
        if head.contains("Expect: 100-continue\r\n") {
            let invitation = b"HTTP/1.1 100 Continue\r\n\r\n";
            stream.get_mut().write_all(invitation).ok()?;
        }
        let start = bytes.len();
        let whole = self.read_body(&head, stream, &mut bytes).is_some();
        let body = bytes.get(start..).unwrap_or_default().to_vec();
        // The effect is there before it can be waited for.
        let answer = match script {
            None if whole => Some(object_store(&mut self.lock(), &head, body)),
            _ => None,
        };
        self.change(|state| state.received.push(Received { bytes, whole }));
        let to = stream.get_mut();
        match script {
            _ if !whole => return None,
            None => to.write_all(&answer?).ok()?,
            Some(Script::Answer(answer)) => to.write_all(&answer).ok()?,
            Some(Script::AnswerAndClose(answer)) => return to.write_all(&answer).ok().and(None),
            Some(Script::Parts(parts)) => {
                for (number, part) in parts.iter().enumerate() {
                    if number > 0 {
                        self.until(|state| state.permits > 0).permits -= 1;
                    }
                    to.write_all(part).ok()?;
                }
            }
            Some(Script::Silence | Script::Unread(_)) => {
                let _ = stream.read_to_end(&mut Vec::new());
                return None;
            }
        }
        self.change(|state| state.answered += 1);
        Some(())
    }

    /// Appends the body. `None` where the connection ends within it.
    fn read_body(&self, head: &str, from: &mut impl BufRead, bytes: &mut Vec<u8>) -> Option<()> {
        if !head.contains("Transfer-Encoding: chunked\r\n") {
            let length = field(head, "Content-Length").map_or(0, |length| number(&length));
            return self.read_exactly(length, from, bytes);
        }
        loop {
            let start = bytes.len();
            from.read_until(b'\n', bytes).ok()?;
            let line = String::from_utf8_lossy(bytes.get(start..)?).into_owned();
            let size = line.strip_suffix("\r\n")?.split(';').next()?;
            match usize::from_str_radix(size, 16).ok()? {
                0 => break,
                size => self.read_exactly(size + 2, from, bytes)?,
            }
        }
        loop {
            let start = bytes.len();
            from.read_until(b'\n', bytes).ok()?;
            match bytes.get(start..)? {
                b"\r\n" => return Some(()),
                line if line.ends_with(b"\r\n") => {}
                _ => return None,
            }
        }
    }

    fn read_exactly(
        &self,
        count: usize,
        from: &mut impl BufRead,
        bytes: &mut Vec<u8>,
    ) -> Option<()> {
        let end = bytes.len() + count;
        while bytes.len() < end {
            let there = from.fill_buf().ok().filter(|there| !there.is_empty())?;
            let taken = there.len().min(end - bytes.len());
            bytes.extend(there.iter().take(taken));
            from.consume(taken);
            self.change(|state| state.body_bytes += taken);
        }
        Some(())
    }
}

/// The answer of an object store.
fn object_store(state: &mut State, head: &str, body: Vec<u8>) -> Vec<u8> {
    let mut words = head.split(' ');
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default().to_owned();
    let found = state.objects.get(&path);
    match (method, found) {
        ("PUT" | "POST", Some(_)) if field(head, "If-None-Match").is_some() => {
            answer("412 Precondition Failed", "", b"")
        }
        ("PUT" | "POST", _) => {
            state.objects.insert(path, body);
            answer("201 Created", "", b"")
        }
        ("DELETE", _) => {
            state.objects.remove(&path);
            b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
        }
        ("GET", Some(object)) => match field(head, "Range") {
            None => answer("200 OK", "", object),
            Some(range) => {
                let range = range.trim_start_matches("bytes=");
                let (first, last) = range.split_once('-').expect("a range has two ends");
                let (first, last) = (number(first), number(last));
                let size = object.len();
                let range = format!("Content-Range: bytes {first}-{last}/{size}\r\n");
                let body = object.get(first..=last).expect("it is within the object");
                answer("206 Partial Content", &range, body)
            }
        },
        _ => answer("404 Not Found", "", b""),
    }
}

/// An answer with these fields and this body.
pub(crate) fn answer(status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// The value of a field, whose name is written as here.
pub(crate) fn field(head: &str, name: &str) -> Option<String> {
    let mut lines = head.lines();
    let value = lines.find_map(|line| line.strip_prefix(&format!("{name}: ")));
    value.map(str::to_owned)
}

fn number(text: &str) -> usize {
    text.parse().expect("it is a number")
}

fn start(work: impl FnOnce() + Send + 'static) {
    Builder::new().spawn(work).expect("there are threads");
}
