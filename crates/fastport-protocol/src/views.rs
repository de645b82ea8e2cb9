//! The hot messages as views that borrow their bytes: read from a payload, written to a slice, in
//! place.
//!
//! A view lives as long as the payload that it was decoded from, which for a handler is the length
//! of its call. No view copies, allocates or panics, whatever the peer sent. Decoding accepts and
//! rejects exactly what the generated type does: unknown fields are skipped, the last value of a
//! field wins, two headers are merged. Encoding gives the generated type's bytes: fields in the
//! order of their numbers, defaults left out. `tests/parity.rs` holds both against the generated
//! types.

mod field;

use crate::commons::Header;
use crate::wire_reader::WireReader;
use crate::wire_writer::WireWriter;
use field::Field;
use thiserror::Error;

/// Why a payload is not the message that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ViewError {
    /// A variable-length number is cut, or has more than 64 bits.
    #[error("a number is cut or too long")]
    Varint,
    /// A field's number or its wire type does not exist.
    #[error("a field's key is invalid")]
    Key,
    /// A known field has another wire type than its definition says.
    #[error("field {number} has the wrong wire type")]
    WireType {
        /// The field's number.
        number: u32,
    },
    /// A value reaches past the end of its message.
    #[error("a value reaches past the end")]
    Truncated,
    /// A text is not UTF-8.
    #[error("field {number} is not UTF-8")]
    Utf8 {
        /// The field's number.
        number: u32,
    },
    /// A group ends that did not begin.
    #[error("a group ends that did not begin")]
    Group,
    /// Groups or messages nest more than a hundred deep.
    #[error("nested too deep")]
    Depth,
}

/// The slice is too short for the message; nothing was written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the message takes {needed} bytes, there is room for {room}")]
pub struct NoRoom {
    /// Bytes that the message takes.
    pub needed: usize,
    /// Bytes of the slice.
    pub room: usize,
}

macro_rules! view {
    (
        $(#[$doc:meta])*
        $name:ident {
            $($number:literal $(#[$field_doc:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name<'a> {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl<'a> $name<'a> {
            /// Reads the message from a payload, which the view then borrows.
            ///
            /// # Errors
            /// When the payload is not this message; see [`ViewError`].
            #[inline]
            pub fn decode(payload: &'a [u8]) -> Result<Self, ViewError> {
                let mut view = Self::default();
                let mut reader = WireReader::new(payload);
                while let Some((number, wire_type)) = reader.field()? {
                    match number {
                        $($number => view.$field.merge(number, wire_type, &mut reader)?,)*
                        _ => reader.skip(number, wire_type)?,
                    }
                }
                Ok(view)
            }

            /// Bytes that the message takes.
            #[must_use]
            #[inline]
            pub fn encoded_len(&self) -> usize {
                0 $(+ self.$field.encoded_len($number))*
            }

            /// Writes the message to the start of `out` and returns how many bytes it took.
            ///
            /// # Errors
            /// When `out` is shorter than [`Self::encoded_len`].
            #[inline]
            pub fn encode_into(&self, out: &mut [u8]) -> Result<usize, NoRoom> {
                let (needed, room) = (self.encoded_len(), out.len());
                let out = out.get_mut(..needed).ok_or(NoRoom { needed, room })?;
                let mut writer = WireWriter::new(out);
                $(self.$field.encode($number, &mut writer);)*
                debug_assert_eq!(writer.written(), needed);
                Ok(writer.written())
            }
        }
    };
}

view! {
    /// [`crate::tests::PingRequest`].
    PingRequestView {
        1 /// Ties the answer to this request.
        header: Option<Header>,
        2 /// Text that comes back in the answer.
        payload: &'a str,
    }
}

view! {
    /// [`crate::tests::PingResponse`].
    PingResponseView {
        1 /// The header of the request.
        header: Option<Header>,
        2 /// A [`crate::commons::ResultCode`], or a number that this version does not know.
        result: i32,
        3 /// The text of the request.
        payload: &'a str,
    }
}

view! {
    /// [`crate::tests::EchoRequest`].
    EchoRequestView {
        1 /// Ties the answer to this request.
        header: Option<Header>,
        2 /// Bytes that come back in the answer.
        data: &'a [u8],
        3 /// Text that comes back in the answer.
        data_str: &'a str,
    }
}

view! {
    /// [`crate::tests::EchoResponse`].
    EchoResponseView {
        1 /// The header of the request.
        header: Option<Header>,
        2 /// A [`crate::commons::ResultCode`], or a number that this version does not know.
        result: i32,
        3 /// The bytes of the request.
        data: &'a [u8],
        4 /// The text of the request.
        data_str: &'a str,
    }
}

view! {
    /// [`crate::benchmark::BenchmarkRequest`].
    BenchmarkRequestView {
        1 /// Ties the answer to this request.
        header: Option<Header>,
        2 /// When the client sent it, in nanoseconds of the client's clock.
        client_timestamp_ns: u64,
        3 /// Counts the requests of a run.
        sequence: u32,
        4 /// Bytes that come back in the answer.
        payload: &'a [u8],
    }
}

view! {
    /// [`crate::benchmark::BenchmarkResponse`].
    BenchmarkResponseView {
        1 /// The header of the request.
        header: Option<Header>,
        2 /// A [`crate::commons::ResultCode`], or a number that this version does not know.
        result: i32,
        3 /// The client's time stamp, echoed.
        client_timestamp_ns: u64,
        4 /// When the server got the request, in nanoseconds of the server's clock.
        server_recv_timestamp_ns: u64,
        5 /// When the server sent the answer, in nanoseconds of the server's clock.
        server_send_timestamp_ns: u64,
        6 /// The number of the request, echoed.
        sequence: u32,
        7 /// The bytes of the request, echoed.
        payload: &'a [u8],
    }
}

view! {
    /// [`crate::benchmark::ThroughputData`].
    ThroughputDataView {
        1 /// Counts the packets of the stream.
        sequence: u32,
        2 /// Bytes that only need to arrive.
        payload: &'a [u8],
        3 /// Whether the server now answers with a [`crate::benchmark::ThroughputResult`].
        is_last: bool,
    }
}
