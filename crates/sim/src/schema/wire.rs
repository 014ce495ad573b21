//! The wire format of protobuf: fields with a number, and what they hold.

/// Why bytes are no message. The words are those of gogo/protobuf.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("unexpected EOF")]
    End,
    #[error("proto: integer overflow")]
    Overflow,
    #[error("proto: illegal tag {0}")]
    Tag(u64),
    #[error("proto: illegal wireType {0}")]
    Wire(u64),
    #[error("proto: wrong wireType for field {0}")]
    WrongWire(&'static str),
    #[error("proto: field {0} holds no value of its type")]
    Value(&'static str),
    #[error("proto: nested too deeply")]
    Depth,
    #[error(
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    )]
    Prefix,
    #[error("Object 'Kind' is missing")]
    Kind,
    #[error("no kind \"{0}\" is registered for version \"{1}\"")]
    NotRegistered(String, String),
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wire<'b> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'b [u8]),
}

impl<'b> Wire<'b> {
    /// Text, a message or packed numbers.
    pub(super) fn bytes(self) -> Option<&'b [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A whole number, as it was before its sign was made part of it.
    pub(super) fn varint(self) -> Option<i64> {
        match self {
            Self::Varint(number) => Some(number.cast_signed()),
            _ => None,
        }
    }
}

/// The fields of a message, in the order that they were sent in.
#[derive(Clone, Debug)]
pub(super) struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    /// Of these bytes.
    pub(super) fn of(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    fn next_field(&mut self) -> Result<(u32, Wire<'b>), Broken> {
        let tag = self.next_varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0);
        let number = number.ok_or(Broken::Tag(tag))?;
        let wire = match tag & 7 {
            0 => Wire::Varint(self.next_varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.next_array()?)),
            2 => {
                let length = self.next_varint()?;
                let length = usize::try_from(length).map_err(|_| Broken::End)?;
                let (bytes, rest) = self.0.split_at_checked(length).ok_or(Broken::End)?;
                self.0 = rest;
                Wire::Bytes(bytes)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.next_array()?)),
            other => return Err(Broken::Wire(other)),
        };
        Ok((number, wire))
    }

    /// A number of seven bits a byte, the lowest first.
    pub(super) fn next_varint(&mut self) -> Result<u64, Broken> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Broken::End)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Broken::Overflow)
    }

    fn next_array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Broken::End)?;
        self.0 = rest;
        Ok(*array)
    }

    /// Nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Result<(u32, Wire<'b>), Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_empty() {
            return None;
        }
        let field = self.next_field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(u32, Wire<'_>)>, Broken> {
        Fields::of(bytes).collect()
    }

    #[test]
    fn fields_of_every_wire_type_are_read() {
        let bytes = [
            0x08, 0x96, 0x01, // 1: 150
            0x12, 0x02, b'h', b'i', // 2: "hi"
            0x1D, 1, 0, 0, 0, // 3: fixed32
            0x21, 2, 0, 0, 0, 0, 0, 0, 0, // 4: fixed64
        ];
        let wanted = [
            (1, Wire::Varint(150)),
            (2, Wire::Bytes(b"hi")),
            (3, Wire::Fixed32(1)),
            (4, Wire::Fixed64(2)),
        ];
        assert_eq!(read(&bytes).unwrap(), wanted);
        let minus = [0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        assert_eq!(read(&minus).unwrap()[0].1.varint(), Some(-1));
    }

    #[test]
    fn broken_bytes_are_refused() {
        let table: [(&[u8], Broken); 5] = [
            (&[0x08], Broken::End),
            (&[0x12, 5, b'h'], Broken::End),
            (&[0x00, 0], Broken::Tag(0)),
            (&[0x0B], Broken::Wire(3)),
            (
                &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
                Broken::Overflow,
            ),
        ];
        for (bytes, wanted) in table {
            assert_eq!(read(bytes), Err(wanted), "{bytes:?}");
        }
    }
}
