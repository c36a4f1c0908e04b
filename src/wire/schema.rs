//! How a message is declared: fields, the versions they stand in, tags, nullability. One declaration gives the struct and
//! its reader and writer. The notation is that of Kafka's own schemas:
//!
//! ```text
//! schema! {
//!     FetchTopic {
//!         topic: Str [0-12];                       // versions 0 to 12
//!         topic_id: Uuid [13+];                    // from version 13 on
//!         rack: Option<Str> [13+] null [13+];      // null is legal from version 13 on
//!         timeout_ms: i32 [0+] = -1;               // the default, where it is not zero
//!         @0 cluster_id: Option<Str> [12+] null [12+];   // a tagged field (KIP-482)
//!     }
//! }
//! ```
//!
//! The macro does not recurse and gates versions at run time: one copy of the code for all versions keeps compile time honest.

use super::{
    error::{WireError, WireErrorKind},
    payload::Payload,
    read::Reader,
    types::{Sensitive, Str, Tags, Uuid},
    write::Writer,
};
use bytes::Bytes;

/// The circumstances in which a value is read or written.
#[derive(Clone, Copy, Debug)]
pub struct Cx {
    pub version: i16,
    /// Compact lengths and tagged fields (KIP-482).
    pub flexible: bool,
    /// Null is legal for the field at hand.
    pub nullable: bool,
}

impl Cx {
    pub fn new(version: i16, flexible: bool) -> Self {
        Cx { version, flexible, nullable: false }
    }

    #[inline]
    fn null(self, nullable: bool) -> Self {
        Cx { nullable, ..self }
    }
}

/// A value with a place in a message.
pub trait Wire: Sized {
    fn read(reader: &mut Reader, cx: Cx) -> Result<Self, WireError>;
    fn write(&self, writer: &mut Writer, cx: Cx);
    /// Gives every error code in it to `found`; `is_code` says that the field at hand is one.
    fn errors(&self, _is_code: bool, _found: &mut dyn FnMut(i16)) {}
}

/// A value that has a form for null.
pub trait Nullable: Sized {
    fn read_nullable(reader: &mut Reader, cx: Cx) -> Result<Option<Self>, WireError>;
    fn write_nullable(value: Option<&Self>, writer: &mut Writer, cx: Cx);
}

impl<T: Nullable + Default + Wire> Wire for Option<T> {
    fn errors(&self, _: bool, found: &mut dyn FnMut(i16)) {
        if let Some(value) = self {
            value.errors(false, found);
        }
    }
    #[inline]
    fn read(reader: &mut Reader, cx: Cx) -> Result<Self, WireError> {
        match T::read_nullable(reader, cx.null(false))? {
            None if !cx.nullable => Err(reader.fail(WireErrorKind::UnexpectedNull)),
            value => Ok(value),
        }
    }
    #[inline]
    fn write(&self, writer: &mut Writer, cx: Cx) {
        match self {
            // A version without null gets the empty value.
            None if !cx.nullable => T::write_nullable(Some(&T::default()), writer, cx),
            value => T::write_nullable(value.as_ref(), writer, cx.null(false)),
        }
    }
}

macro_rules! numbers {
    ($($t:ident)*) => {$(
        impl Wire for $t {
            #[inline]
            fn read(reader: &mut Reader, _: Cx) -> Result<Self, WireError> {
                reader.$t()
            }
            #[inline]
            fn write(&self, writer: &mut Writer, _: Cx) {
                writer.$t(*self)
            }
        }
    )*};
}
numbers!(i8 u16 i32 i64 f64);

impl Wire for i16 {
    #[inline]
    fn read(reader: &mut Reader, _: Cx) -> Result<Self, WireError> {
        reader.i16()
    }
    #[inline]
    fn write(&self, writer: &mut Writer, _: Cx) {
        writer.i16(*self)
    }
    #[inline]
    fn errors(&self, is_code: bool, found: &mut dyn FnMut(i16)) {
        if is_code {
            found(*self);
        }
    }
}

impl Wire for bool {
    fn read(reader: &mut Reader, _: Cx) -> Result<Self, WireError> {
        Ok(reader.i8()? != 0)
    }
    fn write(&self, writer: &mut Writer, _: Cx) {
        writer.i8(i8::from(*self))
    }
}

impl Wire for Uuid {
    fn read(reader: &mut Reader, _: Cx) -> Result<Self, WireError> {
        Ok(Uuid(reader.array()?))
    }
    fn write(&self, writer: &mut Writer, _: Cx) {
        writer.slice(&self.0)
    }
}

/// Types whose null form is a length of -1: `read` refuses it, `Option` takes it.
macro_rules! length_prefixed {
    ($t:ident, $wide:literal, |$reader:ident, $len:ident| $read:expr, |$value:ident| $bytes:expr) => {
        impl Nullable for $t {
            fn read_nullable($reader: &mut Reader, cx: Cx) -> Result<Option<Self>, WireError> {
                let Some($len) = $reader.length(cx.flexible, $wide)? else { return Ok(None) };
                $read.map(Some)
            }
            fn write_nullable(value: Option<&Self>, writer: &mut Writer, cx: Cx) {
                writer.length(value.map(|$value| $bytes.len()), cx.flexible, $wide);
                if let Some($value) = value {
                    writer.bytes($bytes);
                }
            }
        }
        impl Wire for $t {
            fn read(reader: &mut Reader, cx: Cx) -> Result<Self, WireError> {
                Self::read_nullable(reader, cx)?.ok_or_else(|| reader.fail(WireErrorKind::UnexpectedNull))
            }
            fn write(&self, writer: &mut Writer, cx: Cx) {
                Self::write_nullable(Some(self), writer, cx)
            }
        }
    };
}
length_prefixed!(
    Str,
    2,
    |reader, len| {
        let bytes = reader.bytes(len)?;
        Str::from_utf8(bytes).map_err(|_| reader.fail(WireErrorKind::NotUtf8))
    },
    |value| value.shared()
);
length_prefixed!(Bytes, 4, |reader, len| reader.bytes(len), |value| value);
length_prefixed!(Sensitive, 4, |reader, len| reader.bytes(len).map(Sensitive), |value| &value.0);

impl Wire for Payload {
    fn read(reader: &mut Reader, cx: Cx) -> Result<Self, WireError> {
        match reader.length(cx.flexible, 4)? {
            None if !cx.nullable => Err(reader.fail(WireErrorKind::UnexpectedNull)),
            None => Ok(Payload::Null),
            Some(len) => Ok(Payload::Bytes(reader.bytes(len)?)),
        }
    }
    fn write(&self, writer: &mut Writer, cx: Cx) {
        // Without null there is the empty value.
        let len = (!cx.nullable || !matches!(self, Payload::Null)).then(|| self.len());
        writer.length(len, cx.flexible, 4);
        writer.payload(self);
    }
}

impl<T: Wire> Nullable for Vec<T> {
    fn read_nullable(reader: &mut Reader, cx: Cx) -> Result<Option<Self>, WireError> {
        let Some(count) = reader.length(cx.flexible, 4)? else { return Ok(None) };
        let mut items = Vec::new();
        for _ in 0..count {
            reader.grow(&mut items, count)?;
            items.push(T::read(reader, cx)?);
        }
        Ok(Some(items))
    }
    fn write_nullable(value: Option<&Self>, writer: &mut Writer, cx: Cx) {
        writer.length(value.map(Vec::len), cx.flexible, 4);
        for item in value.into_iter().flatten() {
            item.write(writer, cx);
        }
    }
}
impl<T: Wire> Wire for Vec<T> {
    fn read(reader: &mut Reader, cx: Cx) -> Result<Self, WireError> {
        Self::read_nullable(reader, cx)?.ok_or_else(|| reader.fail(WireErrorKind::UnexpectedNull))
    }
    fn write(&self, writer: &mut Writer, cx: Cx) {
        Self::write_nullable(Some(self), writer, cx)
    }
    fn errors(&self, _: bool, found: &mut dyn FnMut(i16)) {
        for item in self {
            item.errors(false, found);
        }
    }
}

/// Reads a tagged-fields section, giving each field to `known` first: it returns false for a tag that is not its own.
pub(crate) fn read_tags(
    reader: &mut Reader,
    mut known: impl FnMut(u32, &mut Reader) -> Result<bool, WireError>,
) -> Result<Tags, WireError> {
    let mut unknown = Vec::new();
    let mut last = None;
    for _ in 0..reader.uvarint()? {
        let tag = reader.uvarint()?;
        if last.is_some_and(|last| tag <= last) {
            return Err(reader.fail(WireErrorKind::TagOrder(tag)));
        }
        last = Some(tag);
        let size = reader.uvarint()? as usize;
        let mut inner = reader.enter(size)?;
        if !known(tag, &mut inner)? {
            inner.grow_slowly(&mut unknown)?;
            let len = inner.left();
            unknown.push((tag, inner.bytes(len)?));
        }
        reader.leave(inner)?;
    }
    if !unknown.is_empty() {
        reader.spend(std::mem::size_of_val(&unknown))?;
    }
    Ok(Tags::from(unknown))
}

/// Writes a tagged-fields section in tag order.
pub(crate) fn write_tags(writer: &mut Writer, mut known: Vec<(u32, Writer)>, unknown: &Tags) {
    for (tag, data) in unknown.as_slice() {
        let mut raw = Writer::default();
        raw.bytes(data);
        known.push((*tag, raw));
    }
    known.sort_by_key(|(tag, _)| *tag);
    writer.uvarint(known.len() as u32);
    for (tag, data) in known {
        writer.uvarint(tag);
        writer.uvarint(data.len() as u32);
        writer.append(data);
    }
}

macro_rules! schema {
    ($(
        $(#[$meta:meta])*
        $name:ident {
            $( $field:ident : $ty:ty [ $lo:literal $(- $hi:literal)? $(+)? ]
                $(null [ $nlo:literal $(- $nhi:literal)? $(+)? ])? $(= $default:expr)? ; )*
            $( @ $tag:literal $tfield:ident : $tty:ty [ $tlo:literal $(- $thi:literal)? $(+)? ]
                $(null [ $tnlo:literal $(- $tnhi:literal)? $(+)? ])? $(= $tdefault:expr)? ; )*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( pub $field: $ty, )*
            $( pub $tfield: $tty, )*
            /// Tagged fields this crate does not know.
            pub unknown_tags: $crate::wire::types::Tags,
        }

        impl Default for $name {
            fn default() -> Self {
                $name {
                    $( $field: $crate::wire::schema::or_default!($($default)?), )*
                    $( $tfield: $crate::wire::schema::or_default!($($tdefault)?), )*
                    unknown_tags: Default::default(),
                }
            }
        }

        #[allow(
            unused_mut,
            unused_variables,
            clippy::manual_range_contains,
            clippy::double_comparisons,
            reason = "messages without fields use nothing, and `[0-0]` is a range like the others"
        )]
        impl $crate::wire::schema::Wire for $name {
            fn read(
                reader: &mut $crate::wire::read::Reader,
                cx: $crate::wire::schema::Cx,
            ) -> Result<Self, $crate::wire::error::WireError> {
                use $crate::wire::schema::{Cx, Wire};
                let v = cx.version;
                let mut it = $name::default();
                $(
                    if v >= $lo $(&& v <= $hi)? {
                        reader.field = concat!(stringify!($name), ".", stringify!($field));
                        let nullable = false $(|| (v >= $nlo $(&& v <= $nhi)?))?;
                        it.$field = <$ty as Wire>::read(reader, Cx { nullable, ..cx })?;
                    }
                )*
                if cx.flexible {
                    reader.field = concat!(stringify!($name), ".tags");
                    it.unknown_tags = $crate::wire::schema::read_tags(reader, |tag, inner| {
                        match tag {
                            $( $tag if v >= $tlo $(&& v <= $thi)? => {
                                inner.field = concat!(stringify!($name), ".", stringify!($tfield));
                                let nullable = false $(|| (v >= $tnlo $(&& v <= $tnhi)?))?;
                                it.$tfield = <$tty as Wire>::read(inner, Cx { nullable, ..cx })?;
                            } )*
                            _ => return Ok(false),
                        }
                        #[allow(unreachable_code, reason = "a message without tags leaves in every arm")]
                        Ok(true)
                    })?;
                }
                Ok(it)
            }

            fn errors(&self, _: bool, found: &mut dyn FnMut(i16)) {
                use $crate::wire::schema::Wire;
                $( <$ty as Wire>::errors(&self.$field, matches!(stringify!($field), "error_code" | "partition_error_code"), found); )*
            }

            fn write(&self, writer: &mut $crate::wire::write::Writer, cx: $crate::wire::schema::Cx) {
                use $crate::wire::schema::{Cx, Wire};
                let v = cx.version;
                $(
                    if v >= $lo $(&& v <= $hi)? {
                        let nullable = false $(|| (v >= $nlo $(&& v <= $nhi)?))?;
                        <$ty as Wire>::write(&self.$field, writer, Cx { nullable, ..cx });
                    }
                )*
                if cx.flexible {
                    let mut known: Vec<(u32, $crate::wire::write::Writer)> = Vec::new();
                    $(
                        if v >= $tlo $(&& v <= $thi)?
                            && self.$tfield != $crate::wire::schema::or_default!(@ $tty, $($tdefault)?)
                        {
                            let nullable = false $(|| (v >= $tnlo $(&& v <= $tnhi)?))?;
                            let mut field = $crate::wire::write::Writer::new();
                            <$tty as Wire>::write(&self.$tfield, &mut field, Cx { nullable, ..cx });
                            known.push(($tag, field));
                        }
                    )*
                    if known.is_empty() && self.unknown_tags.is_empty() {
                        writer.i8(0);
                    } else {
                        $crate::wire::schema::write_tags(writer, known, &self.unknown_tags);
                    }
                }
            }
        }

        #[cfg(test)]
        #[allow(
            unused_variables,
            clippy::manual_range_contains,
            clippy::double_comparisons,
            reason = "as above"
        )]
        impl $crate::wire::sample::Sample for $name {
            fn sample(draw: &mut $crate::wire::sample::Draw, cx: $crate::wire::schema::Cx) -> Self {
                use $crate::wire::{sample::Sample, schema::Cx};
                let v = cx.version;
                let mut it = $name::default();
                $(
                    if v >= $lo $(&& v <= $hi)? {
                        let nullable = false $(|| (v >= $nlo $(&& v <= $nhi)?))?;
                        it.$field = <$ty as Sample>::sample(draw, Cx { nullable, ..cx });
                    }
                )*
                $(
                    if cx.flexible && v >= $tlo $(&& v <= $thi)? && draw.once_in(2) {
                        let nullable = false $(|| (v >= $tnlo $(&& v <= $tnhi)?))?;
                        it.$tfield = <$tty as Sample>::sample(draw, Cx { nullable, ..cx });
                    }
                )*
                it.unknown_tags = draw.unknown_tags(cx);
                it
            }
        }

        impl $crate::wire::schema::Nullable for $name {
            fn read_nullable(
                reader: &mut $crate::wire::read::Reader,
                cx: $crate::wire::schema::Cx,
            ) -> Result<Option<Self>, $crate::wire::error::WireError> {
                match reader.i8()? {
                    n if n < 0 => Ok(None),
                    _ => <$name as $crate::wire::schema::Wire>::read(reader, cx).map(Some),
                }
            }
            fn write_nullable(
                value: Option<&Self>,
                writer: &mut $crate::wire::write::Writer,
                cx: $crate::wire::schema::Cx,
            ) {
                match value {
                    None => writer.i8(-1),
                    Some(value) => {
                        writer.i8(1);
                        $crate::wire::schema::Wire::write(value, writer, cx);
                    }
                }
            }
        }
    )*};
}

macro_rules! or_default {
    () => {
        Default::default()
    };
    ($value:expr) => {
        $value
    };
    (@ $ty:ty, ) => {
        <$ty as Default>::default()
    };
    (@ $ty:ty, $value:expr) => {
        $value
    };
}

pub(crate) use {or_default, schema};
