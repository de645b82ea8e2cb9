//! Reads protobuf's wire format from a slice, exactly as strictly as `prost` does.
//!
//! Nothing is copied and nothing is allocated: what has a length is given out as a part of the
//! input. The rules are those of <https://protobuf.dev/programming-guides/encoding/>; where that
//! leaves a choice, the choice is prost's, so that a view and a generated type accept the same
//! bytes (`tests/parity.rs`).

use crate::varint;
use crate::views::ViewError;

/// How deep messages and unknown groups may nest; prost's limit.
const DEPTH_MAX: u32 = 100;

/// How a field's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireType {
    Varint,
    Fixed64,
    Delimited,
    GroupStart,
    GroupEnd,
    Fixed32,
}

/// The unread rest of a message.
#[derive(Clone, Debug)]
pub(crate) struct WireReader<'a> {
    rest: &'a [u8],
    /// Levels that may still be entered.
    depth: u32,
}

impl<'a> WireReader<'a> {
    #[inline]
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self {
            rest: message,
            depth: DEPTH_MAX,
        }
    }

    /// The next field's number and wire type, or `None` at the end of the message.
    #[inline]
    pub(crate) fn field(&mut self) -> Result<Option<(u32, WireType)>, ViewError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.key().map(Some)
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, ViewError> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            _ => self.varint_of_many(),
        }
    }

    /// A part of the input behind its length.
    #[inline]
    pub(crate) fn delimited(&mut self) -> Result<&'a [u8], ViewError> {
        let bytes = self.varint()?;
        self.bytes(bytes)
    }

    /// A message inside this one. A value in it that would reach past its end is an error, as with
    /// prost, which reads on and then finds itself past the end.
    pub(crate) fn message(&mut self) -> Result<Self, ViewError> {
        let rest = self.delimited()?;
        let depth = self.depth.checked_sub(1).ok_or(ViewError::Depth)?;
        Ok(Self { rest, depth })
    }

    /// Skips the value of a field that this version does not know.
    pub(crate) fn skip(&mut self, number: u32, wire_type: WireType) -> Result<(), ViewError> {
        self.skip_at(self.depth, number, wire_type)
    }

    fn skip_at(&mut self, depth: u32, number: u32, wire_type: WireType) -> Result<(), ViewError> {
        if depth == 0 {
            return Err(ViewError::Depth);
        }
        match wire_type {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed64 => self.bytes(8).map(drop),
            WireType::Fixed32 => self.bytes(4).map(drop),
            WireType::Delimited => self.delimited().map(drop),
            WireType::GroupEnd => Err(ViewError::Group),
            WireType::GroupStart => loop {
                match self.key()? {
                    (end, WireType::GroupEnd) if end == number => return Ok(()),
                    (_, WireType::GroupEnd) => return Err(ViewError::Group),
                    (inner, wire_type) => self.skip_at(depth - 1, inner, wire_type)?,
                }
            },
        }
    }

    #[inline]
    fn key(&mut self) -> Result<(u32, WireType), ViewError> {
        let key = u32::try_from(self.varint()?).map_err(|_| ViewError::Key)?;
        let wire_type = match key & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Delimited,
            3 => WireType::GroupStart,
            4 => WireType::GroupEnd,
            5 => WireType::Fixed32,
            _ => return Err(ViewError::Key),
        };
        let number = key >> 3;
        if number == 0 {
            return Err(ViewError::Key);
        }
        Ok((number, wire_type))
    }

    fn varint_of_many(&mut self) -> Result<u64, ViewError> {
        let Some(bytes) = self.rest.first_chunk() else {
            return self.last_varint();
        };
        let (value, bytes) = varint::gather(bytes).ok_or(ViewError::Varint)?;
        self.rest = self.rest.get(bytes..).unwrap_or_default();
        Ok(value)
    }

    /// A number so near to the end that it is looked at byte by byte: at most nine of them, of
    /// which each has room for its seven bits.
    fn last_varint(&mut self) -> Result<u64, ViewError> {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().enumerate() {
            value |= u64::from(byte & 0x7F) << (7 * index);
            if byte < 0x80 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(ViewError::Varint)
    }

    #[inline]
    fn bytes(&mut self, bytes: u64) -> Result<&'a [u8], ViewError> {
        let bytes = usize::try_from(bytes).map_err(|_| ViewError::Truncated)?;
        let (taken, rest) = self
            .rest
            .split_at_checked(bytes)
            .ok_or(ViewError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod limits {
    use super::*;

    #[test]
    fn a_varint_holds_sixty_four_bits_at_most() {
        let mut longest = [0xFF; 10];
        longest[9] = 1;
        assert_eq!(WireReader::new(&longest).varint(), Ok(u64::MAX));
        longest[9] = 2;
        assert_eq!(WireReader::new(&longest).varint(), Err(ViewError::Varint));
        assert_eq!(WireReader::new(&[0x80]).varint(), Err(ViewError::Varint));
        assert_eq!(WireReader::new(&[]).varint(), Err(ViewError::Varint));
    }

    #[test]
    fn groups_nest_to_the_limit_and_must_match() {
        let nested = |levels: usize| [vec![0x7B; levels], vec![0x7C; levels]].concat();
        let skip = |message: &[u8]| {
            let mut reader = WireReader::new(message);
            let (number, wire_type) = reader.field()?.ok_or(ViewError::Truncated)?;
            reader.skip(number, wire_type)
        };
        assert_eq!(skip(&nested(100)), Ok(()));
        assert_eq!(skip(&nested(101)), Err(ViewError::Depth));
        assert_eq!(skip(&[0x7B, 0x74]), Err(ViewError::Group));
        assert_eq!(skip(&[0x7C]), Err(ViewError::Group));
        assert_eq!(skip(&[0x7B]), Err(ViewError::Varint));
    }
}
