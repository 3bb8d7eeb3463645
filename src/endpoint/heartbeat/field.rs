//! Fields of a heartbeat, the rules that one can break, and the macro that declares an object of fields.

use super::json::{Json, Members, Value};
use serde::Serialize;
use std::fmt;
use tables::InvalidId;

/// The type of a field in a heartbeat.
pub trait Field: Sized {
    /// Whether the field must be sent.
    const REQUIRED: bool = true;

    /// The values that are accepted.
    const SCHEMA: Schema;

    /// Reads a value that was sent, or reports what is wrong with it.
    fn from_json(json: Json<'_>, report: &mut Report) -> Option<Self>;

    /// Returns the value of a field that was not sent, or reports that it is missing.
    fn absent(report: &mut Report) -> Option<Self> {
        report.reject(Violation::Missing)
    }
}

impl<T: Field> Field for Option<T> {
    const REQUIRED: bool = false;
    const SCHEMA: Schema = Schema::Nullable(&T::SCHEMA);

    fn from_json(json: Json<'_>, report: &mut Report) -> Option<Self> {
        if json.is_null() { Some(None) } else { T::from_json(json, report).map(Some) }
    }

    fn absent(_: &mut Report) -> Option<Self> {
        Some(None)
    }
}

/// An object of fields.
pub trait Object: Sized {
    const NAME: &'static str;
    const DESCRIPTION: &'static str;
    const MEMBERS: &'static [Member];

    /// Reads the members, or reports everything that is wrong with them.
    fn from_members(members: &Members<'_>, report: &mut Report) -> Option<Self>;
}

/// A member of an object. The parser needs its name; `openapi.json` says the rest.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    pub name: &'static str,
    pub description: &'static str,
    pub is_required: bool,
    pub schema: Schema,
    /// Empty if the schema refers to others that have examples.
    pub example: &'static str,
}

/// The values that a field accepts.
#[derive(Debug, Clone, Copy)]
pub enum Schema {
    Bool,
    DateTime,
    Text {
        min: usize,
        max: usize,
        pattern: Option<&'static str>,
    },
    /// An object with this name.
    Object(&'static str),
    /// A list of such objects.
    List(&'static str),
    /// One of these, or null.
    Nullable(&'static Self),
}

impl<T: Object> Field for T {
    const SCHEMA: Schema = Schema::Object(T::NAME);

    fn from_json(json: Json<'_>, report: &mut Report) -> Option<Self> {
        let members = report.members(json, T::MEMBERS.iter().map(|member| member.name))?;
        T::from_members(&members, report)
    }
}

/// The violations so far, and the path of the field that is being read.
#[derive(Debug)]
pub struct Report {
    path: Vec<&'static str>,
    errors: Vec<FieldError>,
    /// Why the body cannot be read at all, which makes every other violation meaningless.
    invalid: Option<serde_json::Error>,
}

impl Report {
    pub(super) fn new(root: &'static str) -> Self {
        Self { path: vec![root], errors: Vec::new(), invalid: None }
    }

    /// Everything that is wrong, in the schema's order, or only [`Violation::JsonInvalid`].
    pub(super) fn errors(mut self) -> Vec<FieldError> {
        if let Some(error) = self.invalid {
            self.path.truncate(1);
            let violation = Violation::JsonInvalid(error.to_string());
            self.errors = vec![FieldError::new(self.path, &violation)];
        }
        self.errors
    }

    /// Returns what was read, or records that the body cannot be read.
    pub(super) fn valid<T>(&mut self, read: Result<T, serde_json::Error>) -> Option<T> {
        read.map_err(|error| self.invalid.get_or_insert(error)).ok()
    }

    /// Reads a value by a rule.
    pub(super) fn value<T>(
        &mut self,
        json: Json<'_>,
        rule: impl FnOnce(&Value<'_>) -> Result<T, Violation>,
    ) -> Option<T> {
        let value = self.valid(json.value())?;
        rule(&value).map_or_else(|violation| self.reject(violation), Some)
    }

    /// Reads the members of an object.
    pub(super) fn members<'a>(
        &mut self,
        json: Json<'a>,
        names: impl Iterator<Item = &'static str> + Clone,
    ) -> Option<Members<'a>> {
        match self.valid(json.members(names))? {
            Some(members) => Some(members),
            None => self.reject(Violation::ModelAttributesType),
        }
    }

    /// Records a violation in the field that is being read.
    pub(super) fn reject<T>(&mut self, violation: Violation) -> Option<T> {
        self.errors.push(FieldError::new(self.path.clone(), &violation));
        None
    }

    /// Reads the field with this name.
    pub(super) fn field<T: Field>(
        &mut self,
        members: &Members<'_>,
        name: &'static str,
    ) -> Option<T> {
        self.member(name, |report| match members.get(name) {
            Some(json) => T::from_json(json, report),
            None => T::absent(report),
        })
    }

    /// Reads the member with this name.
    pub(super) fn member<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(name);
        let member = read(self);
        self.path.pop();
        member
    }
}

/// A rule that the request breaks. It never contains what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Pydantic's code for the rule.
    #[serde(rename = "type")]
    pub code: &'static str,
    /// The location: `body` or `header`, then the path to the field.
    pub loc: Vec<&'static str>,
    /// The rule, as a message for people.
    pub msg: String,
}

impl FieldError {
    /// A rule that a header breaks.
    pub fn in_header(name: &'static str, violation: &Violation) -> Self {
        Self::new(vec!["header", name], violation)
    }

    fn new(loc: Vec<&'static str>, violation: &Violation) -> Self {
        Self { code: violation.code(), loc, msg: violation.to_string() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.loc.join("."), self.code)
    }
}

/// A rule of the contract that a value breaks. [`Display`](fmt::Display) is its message to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// The body is not JSON. Holds the position and the reason.
    JsonInvalid(String),
    /// Not an object where one is required.
    ModelAttributesType,
    /// A required field was not sent.
    Missing,
    /// Neither true nor false.
    BoolType,
    /// Not a string.
    StringType,
    /// Fewer characters than this.
    StringTooShort(usize),
    /// More characters than this.
    StringTooLong(usize),
    /// Characters outside this pattern.
    StringPatternMismatch(&'static str),
    /// Neither a number nor a string.
    FloatType,
    /// A string that is not a number.
    FloatParsing,
    /// Neither a number nor a string.
    IntType,
    /// A string that is not a whole number.
    IntParsing,
    /// A number with a fraction.
    IntFromFloat,
    /// Below the limit, which is always 0.
    GreaterThanEqual,
    /// Above this limit.
    LessThanEqual(String),
    /// Neither a string nor a number.
    DatetimeType,
    /// A string that is not a date-time.
    DatetimeFromDateParsing,
    /// A point in time outside the years 1 to 9999.
    DatetimeParsing,
}

impl From<InvalidId> for Violation {
    fn from(rule: InvalidId) -> Self {
        match rule {
            InvalidId::Empty => Self::StringTooShort(1),
            InvalidId::TooLong(max) => Self::StringTooLong(max),
            InvalidId::Pattern(pattern) => Self::StringPatternMismatch(pattern),
        }
    }
}

impl Violation {
    /// Pydantic's code for the rule: the `type` of a FastAPI error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::JsonInvalid(_) => "json_invalid",
            Self::ModelAttributesType => "model_attributes_type",
            Self::Missing => "missing",
            Self::BoolType => "bool_type",
            Self::StringType => "string_type",
            Self::StringTooShort(_) => "string_too_short",
            Self::StringTooLong(_) => "string_too_long",
            Self::StringPatternMismatch(_) => "string_pattern_mismatch",
            Self::FloatType => "float_type",
            Self::FloatParsing => "float_parsing",
            Self::IntType => "int_type",
            Self::IntParsing => "int_parsing",
            Self::IntFromFloat => "int_from_float",
            Self::GreaterThanEqual => "greater_than_equal",
            Self::LessThanEqual(_) => "less_than_equal",
            Self::DatetimeType => "datetime_type",
            Self::DatetimeFromDateParsing => "datetime_from_date_parsing",
            Self::DatetimeParsing => "datetime_parsing",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JsonInvalid(reason) => write!(f, "JSON decode error: {reason}"),
            Self::ModelAttributesType => {
                f.write_str("Input should be a valid dictionary or object to extract fields from")
            }
            Self::Missing => f.write_str("Field required"),
            Self::BoolType => f.write_str("Input should be a valid boolean"),
            Self::StringType => f.write_str("Input should be a valid string"),
            Self::StringTooShort(min) => {
                write!(f, "String should have at least {min} character{}", plural(*min))
            }
            Self::StringTooLong(max) => {
                write!(f, "String should have at most {max} character{}", plural(*max))
            }
            Self::StringPatternMismatch(pattern) => {
                write!(f, "String should match pattern '{pattern}'")
            }
            Self::FloatType => f.write_str("Input should be a valid number"),
            Self::FloatParsing => {
                f.write_str("Input should be a valid number, unable to parse string as a number")
            }
            Self::IntType => f.write_str("Input should be a valid integer"),
            Self::IntParsing => {
                f.write_str("Input should be a valid integer, unable to parse string as an integer")
            }
            Self::IntFromFloat => {
                f.write_str("Input should be a valid integer, got a number with a fractional part")
            }
            Self::GreaterThanEqual => f.write_str("Input should be greater than or equal to 0"),
            Self::LessThanEqual(max) => write!(f, "Input should be less than or equal to {max}"),
            Self::DatetimeType => f.write_str("Input should be a valid datetime"),
            Self::DatetimeFromDateParsing => {
                f.write_str("Input should be a valid datetime or date")
            }
            Self::DatetimeParsing => {
                f.write_str("Input should be a valid datetime, within the years 1 to 9999")
            }
        }
    }
}

const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Declares an object of the contract: its struct, the table of its members, and how they are read.
macro_rules! object {
    (
        $(#[doc = $doc:literal])+
        pub struct $name:ident {
            $(
                $(#[doc = $member_doc:literal])+
                $(#[example($example:literal)])?
                $member:ident: $type:ty,
            )+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $(
                $(#[doc = $member_doc])+
                pub $member: $type,
            )+
        }

        impl Object for $name {
            const NAME: &'static str = stringify!($name);
            const DESCRIPTION: &'static str = concat!($($doc),+).trim_ascii();
            const MEMBERS: &'static [Member] = &[$(Member {
                name: stringify!($member),
                description: concat!($($member_doc),+).trim_ascii(),
                is_required: <$type as Field>::REQUIRED,
                schema: <$type as Field>::SCHEMA,
                example: concat!($($example)?),
            }),+];

            fn from_members(members: &Members<'_>, report: &mut Report) -> Option<Self> {
                $(let $member = report.field(members, stringify!($member));)+
                Some(Self { $($member: $member?),+ })
            }
        }
    };
}
pub(super) use object;
