//! How a view reads and writes a field of each type that views have.

use super::ViewError;
use crate::commons::Header;
use crate::varint::len as varint_len;
use crate::wire_reader::{WireReader, WireType};
use crate::wire_writer::WireWriter;

/// A field's value. One that equals the default takes no bytes.
pub(super) trait Field<'a> {
    /// Reads a value; it replaces the one before, except that messages are merged.
    fn merge(
        &mut self,
        number: u32,
        wire_type: WireType,
        reader: &mut WireReader<'a>,
    ) -> Result<(), ViewError>;

    /// Bytes that the field takes, its key included.
    fn encoded_len(&self, number: u32) -> usize;

    /// Writes the field with its key.
    fn encode(&self, number: u32, writer: &mut WireWriter<'_>);
}

/// Numbers, which all travel as a varint; what does not fit is cut, as protobuf wants it.
macro_rules! varint_field {
    ($type:ty, $value:ident => $to_wire:expr, $wire:ident => $from_wire:expr) => {
        impl<'a> Field<'a> for $type {
            #[inline]
            fn merge(
                &mut self,
                number: u32,
                wire_type: WireType,
                reader: &mut WireReader<'a>,
            ) -> Result<(), ViewError> {
                expect(number, WireType::Varint, wire_type)?;
                let $wire = reader.varint()?;
                *self = $from_wire;
                Ok(())
            }

            #[inline]
            fn encoded_len(&self, number: u32) -> usize {
                let $value = *self;
                let wire: u64 = $to_wire;
                if wire == 0 {
                    return 0;
                }
                key_len(number) + varint_len(wire)
            }

            #[inline]
            fn encode(&self, number: u32, writer: &mut WireWriter<'_>) {
                let $value = *self;
                let wire: u64 = $to_wire;
                if wire != 0 {
                    key(number, WireType::Varint, writer);
                    writer.varint(wire);
                }
            }
        }
    };
}

varint_field!(bool, value => u64::from(value), wire => wire != 0);
varint_field!(u32, value => u64::from(value), wire => wire as u32);
varint_field!(u64, value => value, wire => wire);
// A negative number is extended to 64 bits and takes ten bytes.
varint_field!(i32, value => i64::from(value) as u64, wire => wire as i32);

impl<'a> Field<'a> for &'a [u8] {
    #[inline]
    fn merge(
        &mut self,
        number: u32,
        wire_type: WireType,
        reader: &mut WireReader<'a>,
    ) -> Result<(), ViewError> {
        expect(number, WireType::Delimited, wire_type)?;
        *self = reader.delimited()?;
        Ok(())
    }

    #[inline]
    fn encoded_len(&self, number: u32) -> usize {
        if self.is_empty() {
            return 0;
        }
        key_len(number) + varint_len(self.len() as u64) + self.len()
    }

    #[inline]
    fn encode(&self, number: u32, writer: &mut WireWriter<'_>) {
        if !self.is_empty() {
            key(number, WireType::Delimited, writer);
            writer.varint(self.len() as u64);
            writer.bytes(self);
        }
    }
}

impl<'a> Field<'a> for &'a str {
    #[inline]
    fn merge(
        &mut self,
        number: u32,
        wire_type: WireType,
        reader: &mut WireReader<'a>,
    ) -> Result<(), ViewError> {
        expect(number, WireType::Delimited, wire_type)?;
        *self = std::str::from_utf8(reader.delimited()?).map_err(|_| ViewError::Utf8 { number })?;
        Ok(())
    }

    #[inline]
    fn encoded_len(&self, number: u32) -> usize {
        self.as_bytes().encoded_len(number)
    }

    #[inline]
    fn encode(&self, number: u32, writer: &mut WireWriter<'_>) {
        self.as_bytes().encode(number, writer);
    }
}

impl<'a> Field<'a> for Option<Header> {
    #[inline]
    fn merge(
        &mut self,
        number: u32,
        wire_type: WireType,
        reader: &mut WireReader<'a>,
    ) -> Result<(), ViewError> {
        expect(number, WireType::Delimited, wire_type)?;
        let header = self.get_or_insert_default();
        let mut inside = reader.message()?;
        while let Some((number, wire_type)) = inside.field()? {
            match number {
                1 => header.request_id.merge(number, wire_type, &mut inside)?,
                2 => header.timestamp_ms.merge(number, wire_type, &mut inside)?,
                _ => inside.skip(number, wire_type)?,
            }
        }
        Ok(())
    }

    #[inline]
    fn encoded_len(&self, number: u32) -> usize {
        self.map_or(0, |header| {
            let bytes = header_len(&header);
            key_len(number) + varint_len(bytes as u64) + bytes
        })
    }

    #[inline]
    fn encode(&self, number: u32, writer: &mut WireWriter<'_>) {
        if let Some(header) = self {
            key(number, WireType::Delimited, writer);
            writer.varint(header_len(header) as u64);
            header.request_id.encode(1, writer);
            header.timestamp_ms.encode(2, writer);
        }
    }
}

#[inline]
fn header_len(header: &Header) -> usize {
    header.request_id.encoded_len(1) + header.timestamp_ms.encoded_len(2)
}

#[inline]
fn expect(number: u32, expected: WireType, actual: WireType) -> Result<(), ViewError> {
    if expected == actual {
        Ok(())
    } else {
        Err(ViewError::WireType { number })
    }
}

#[inline]
fn key_len(number: u32) -> usize {
    varint_len(u64::from(number) << 3)
}

#[inline]
fn key(number: u32, wire_type: WireType, writer: &mut WireWriter<'_>) {
    let code = match wire_type {
        WireType::Varint => 0,
        WireType::Fixed64 => 1,
        WireType::Delimited => 2,
        WireType::GroupStart => 3,
        WireType::GroupEnd => 4,
        WireType::Fixed32 => 5,
    };
    writer.varint((u64::from(number) << 3) | code);
}
