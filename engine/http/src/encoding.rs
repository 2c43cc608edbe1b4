//! Decodes request bodies by their `Content-Encoding`: gzip, zstd and deflate. The decoded body is
//! bounded too, so that a small body cannot fill the memory.

use std::io::{self, Read};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::problem::{Problem, Result};

/// Largest window of a zstd frame, as a power of two: 8 MiB, which RFC 9659 sets for HTTP.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    Zstd,
    Deflate,
}

impl Encoding {
    /// Returns the encoding that the headers name; `None`: the body is not encoded.
    ///
    /// # Errors
    /// 415 for any other encoding, or several.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Encoding>> {
        let named = headers.get_all(header::CONTENT_ENCODING).iter();
        let named: Vec<_> = named.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        match named.join(", ").trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(None),
            "gzip" | "x-gzip" => Ok(Some(Encoding::Gzip)),
            "zstd" => Ok(Some(Encoding::Zstd)),
            "deflate" => Ok(Some(Encoding::Deflate)),
            other => {
                let error = format!("the content encoding {other:?} is not supported");
                Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)
                    .at("Content-Encoding")
                    .remedy("send the body encoded with gzip, zstd or deflate, or not encoded"))
            }
        }
    }

    /// Decodes a body, but at most one byte more than `most`.
    ///
    /// # Errors
    /// The body is damaged or ends too early.
    pub(crate) fn decode(self, body: &[u8], most: usize) -> io::Result<Bytes> {
        let limit = (most as u64).saturating_add(1);
        let mut decoded = Vec::new();
        match self {
            Encoding::Gzip => MultiGzDecoder::new(body).take(limit).read_to_end(&mut decoded)?,
            Encoding::Deflate if is_zlib(body) => {
                ZlibDecoder::new(body).take(limit).read_to_end(&mut decoded)?
            }
            // Some clients leave out the zlib header, against the standard.
            Encoding::Deflate => DeflateDecoder::new(body).take(limit).read_to_end(&mut decoded)?,
            Encoding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                decoder.take(limit).read_to_end(&mut decoded)?
            }
        };
        Ok(decoded.into())
    }
}

/// Whether the body begins with the header of the zlib format (RFC 1950).
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [first, second, ..]
        if first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0)
}
