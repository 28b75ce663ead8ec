//! Bytes read as decisions.

/// Takes decisions off the front of bytes; when they are used up, every decision is zero.
#[derive(Clone, Debug)]
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Choices<'a> {
        Choices(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All bytes that are left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        let (head, tail) = self.0.split_at(self.0.len().min(N));
        for (to, from) in taken.iter_mut().zip(head) {
            *to = *from;
        }
        self.0 = tail;
        taken
    }

    pub(crate) fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    /// A number below `end`, which is at most 65,536; 0 where `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        u64::from(self.u16()).checked_rem(end).unwrap_or(0)
    }

    /// One of the numbers that decoders get wrong.
    pub(crate) fn edge(&mut self) -> u64 {
        match self.u8() % 10 {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            3 => u64::MAX - 1,
            4 => u64::MAX - 95,
            5 => 1 << 63,
            6 => u64::from(u32::MAX),
            7 => 1 << 31,
            8 => 1 << 20,
            _ => self.u64(),
        }
    }
}
