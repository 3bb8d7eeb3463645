//! A body for programs: compressed for whoever accepts that, and bounded by what AWS Lambda passes on.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::convert::Infallible;
use std::fmt;
use std::io::{self, BufWriter, Write};

/// Bytes that are compressed at once: the pieces of a body are small.
const CHUNK: usize = 32 * 1024;

/// How a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
}

impl Coding {
    /// What a client accepts: gzip if it names that with a weight above 0, or else anything.
    fn accepted(headers: &HeaderMap) -> Self {
        let lists = || headers.get_all(header::ACCEPT_ENCODING).into_iter();
        let codings = || lists().filter_map(|list| list.to_str().ok()).flat_map(|it| it.split(','));
        let weight = |wanted: &str| {
            codings().find_map(|coding| {
                let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
                let weight = weight.trim().to_ascii_lowercase();
                let weight = weight.strip_prefix("q=").and_then(|weight| weight.parse().ok());
                name.trim().eq_ignore_ascii_case(wanted).then_some(weight.unwrap_or(1.0_f32))
            })
        };
        match weight("gzip").or_else(|| weight("*")) {
            Some(weight) if weight > 0.0 => Self::Gzip,
            _ => Self::Identity,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Coding {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::accepted(&parts.headers))
    }
}

/// A body while it is written, of which only what is sent is in memory.
pub enum Body {
    Identity(Kept),
    Gzip(Box<BufWriter<GzEncoder<Kept>>>),
}

impl Body {
    /// Of at most so many bytes, as [`Size`] counts them.
    pub fn new(coding: Coding, max: Option<usize>) -> Self {
        let kept = Kept { bytes: Vec::new(), size: Size::default(), max };
        match coding {
            Coding::Identity => Self::Identity(kept),
            Coding::Gzip => {
                let encoder = GzEncoder::new(kept, Compression::default());
                Self::Gzip(Box::new(BufWriter::with_capacity(CHUNK, encoder)))
            }
        }
    }

    /// The bytes to send, or how many there are if they are too many.
    ///
    /// # Errors
    /// If the end cannot be compressed.
    pub fn finish(self) -> io::Result<Result<Vec<u8>, usize>> {
        let kept = match self {
            Self::Identity(kept) => kept,
            Self::Gzip(encoder) => encoder.into_inner()?.finish()?,
        };
        Ok(if kept.is_too_large() { Err(kept.size.total()) } else { Ok(kept.bytes) })
    }
}

impl Write for Body {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        match self {
            Self::Identity(kept) => kept.write(piece),
            Self::Gzip(encoder) => encoder.write(piece),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Identity(kept) => kept.flush(),
            Self::Gzip(encoder) => encoder.flush(),
        }
    }
}

impl fmt::Write for Body {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.write_all(piece.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// What is sent of a body. What does not fit is only counted.
pub struct Kept {
    bytes: Vec<u8>,
    size: Size,
    max: Option<usize>,
}

impl Kept {
    fn is_too_large(&self) -> bool {
        self.max.is_some_and(|max| self.size.total() > max)
    }
}

impl Write for Kept {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.size.add(piece);
        if self.is_too_large() {
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(piece);
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a body has within Lambda's response, which is JSON: a string in which some characters need two, or base64.
#[derive(Default)]
struct Size {
    bytes: usize,
    escaped: usize,
}

impl Size {
    fn add(&mut self, piece: &[u8]) {
        self.bytes += piece.len();
        self.escaped += piece.iter().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n')).count();
    }

    const fn total(&self) -> usize {
        let base64 = self.bytes.div_ceil(3) * 4;
        let text = self.bytes + self.escaped;
        if text > base64 { text } else { base64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_body_counts_as_lambda_sends_it() {
        let size = |text: &[u8]| {
            let mut size = Size::default();
            text.chunks(3).for_each(|piece| size.add(piece));
            size.total()
        };
        assert_eq!(size(b"plain text, 18 B.."), 24);
        assert_eq!(size(b"19 bytes in base64!"), 28);
        assert_eq!(size(b"\"\"\n\\"), 8);
    }

    // C13.10
    #[test]
    fn gzip_is_sent_to_whoever_accepts_it() {
        for (accepted, expected) in [
            ("", Coding::Identity),
            ("gzip", Coding::Gzip),
            ("deflate, GZIP;q=0.5, br", Coding::Gzip),
            ("*", Coding::Gzip),
            ("br, *;q=0.1", Coding::Gzip),
            ("gzip;q=0, *", Coding::Identity),
            ("gzip; Q=0.000", Coding::Identity),
            ("*;q=0", Coding::Identity),
            ("identity", Coding::Identity),
            ("br, gzipped", Coding::Identity),
        ] {
            let value = HeaderValue::from_static(accepted);
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)]);
            assert_eq!(Coding::accepted(&headers), expected, "{accepted}");
        }
        assert_eq!(Coding::accepted(&HeaderMap::new()), Coding::Identity);
        let mut headers = HeaderMap::new();
        for coding in ["br", "gzip"] {
            headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(coding));
        }
        assert_eq!(Coding::accepted(&headers), Coding::Gzip);
    }

    // C13.10
    #[test]
    fn what_is_sent_counts_and_not_what_is_compressed() {
        let body = |coding, max| {
            let mut body = Body::new(coding, Some(max));
            (0..10_000).for_each(|_| body.write_all(b"the same again ").expect("in memory"));
            body.finish().expect("in memory")
        };
        assert_eq!(body(Coding::Identity, 150_000), Err(200_000));
        let compressed = body(Coding::Gzip, 150_000).expect("fits");
        assert!(compressed.len() < 2_000, "{}", compressed.len());
        let sent = compressed.len().div_ceil(3) * 4;
        assert_eq!(body(Coding::Gzip, sent - 1), Err(sent));
        assert!(body(Coding::Gzip, sent).is_ok());
    }
}
