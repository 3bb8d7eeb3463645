//! JSON that is read no further than somebody asks. A value is a piece of the body's text; what nobody asks for is
//! checked to be JSON, and skipped without being built, however large it is or however deep it nests.

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Deserializer, Error, Number};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// The text of a value, without white space around it.
#[derive(Debug, Clone, Copy)]
pub struct Json<'a>(&'a str);

/// A value, as far as a field can have a use for it.
#[derive(Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'a, str>),
    Array,
    Object,
}

/// The members of an object that somebody asked for. Of duplicate members, the last one.
#[derive(Debug)]
pub struct Members<'a>(Vec<(&'static str, Json<'a>)>);

impl<'a> Json<'a> {
    /// A text that may turn out not to be JSON.
    pub fn new(text: &'a str) -> Self {
        Self(text.trim_matches([' ', '\t', '\n', '\r']))
    }

    /// Whether this is null.
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// Reads the value. Arrays and objects are not looked into.
    ///
    /// # Errors
    /// If the value is JSON that nothing can represent: a number beyond every float, or a string with a lone surrogate.
    pub fn value(self) -> Result<Value<'a>, Error> {
        Ok(match self.0.as_bytes() {
            [b'n', ..] => Value::Null,
            [b't', ..] => Value::Bool(true),
            [b'f', ..] => Value::Bool(false),
            [b'[', ..] => Value::Array,
            [b'{', ..] => Value::Object,
            [b'"', text @ .., b'"'] if !text.contains(&b'\\') => {
                Value::String(Cow::Borrowed(&self.0[1..self.0.len() - 1]))
            }
            [b'"', ..] => Value::String(Cow::Owned(serde_json::from_str(self.0)?)),
            _ => Value::Number(serde_json::from_str(self.0)?),
        })
    }

    /// Reads the members with these names; `None` if the value is not an object.
    ///
    /// # Errors
    /// If the text is not JSON.
    pub fn members(
        self,
        names: impl Iterator<Item = &'static str> + Clone,
    ) -> Result<Option<Members<'a>>, Error> {
        if !self.0.starts_with('{') {
            return serde_json::from_str(self.0).map(|IgnoredAny| None);
        }
        let mut json = Deserializer::from_str(self.0);
        let members = json.deserialize_map(Wanted(names))?;
        json.end()?;
        Ok(Some(members))
    }

    /// Hands every element of an array to `each`; whether it is one.
    pub fn for_each(self, each: impl FnMut(Json<'a>)) -> bool {
        let elements = Elements(each, PhantomData);
        Deserializer::from_str(self.0).deserialize_seq(elements).is_ok()
    }
}

impl<'a> Members<'a> {
    /// The member with this name.
    pub fn get(&self, name: &str) -> Option<Json<'a>> {
        let mut members = self.0.iter();
        members.find(|(known, _)| *known == name).map(|(_, json)| *json)
    }
}

struct Wanted<N>(N);

impl<'de, N: Iterator<Item = &'static str> + Clone> Visitor<'de> for Wanted<N> {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members(Vec::with_capacity(16));
        while let Some(Key(key)) = map.next_key()? {
            let Some(name) = self.0.clone().find(|name| name.as_bytes() == &*key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let json = Json(map.next_value::<&RawValue>()?.get());
            match members.0.iter_mut().find(|(known, _)| *known == name) {
                Some((_, earlier)) => *earlier = json,
                None => members.0.push((name, json)),
            }
        }
        Ok(members)
    }
}

/// The name of a member, as bytes: one that is not wanted may hold a lone surrogate, which no `str` can.
struct Key<'a>(Cow<'a, [u8]>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(key: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_bytes<E>(self, name: &'de [u8]) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(name)))
            }

            fn visit_bytes<E>(self, name: &[u8]) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(name.to_owned())))
            }
        }
        key.deserialize_bytes(Bytes)
    }
}

struct Elements<'a, F>(F, PhantomData<&'a str>);

impl<'de, F: FnMut(Json<'de>)> Visitor<'de> for Elements<'de, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<&RawValue>()? {
            (self.0)(Json(element.get()));
        }
        Ok(())
    }
}
