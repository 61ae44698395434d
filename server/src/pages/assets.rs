//! Files that pages load, built into the program.

use std::sync::LazyLock;

use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use meshwire_protocol::ErrorCode;
use sha2::{Digest as _, Sha256};

use crate::error::{ApiError, Result, shown};
use crate::extract::PathVariable;

struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

const ASSETS: [Asset; 4] = [
    Asset {
        name: "style.css",
        content_type: "text/css; charset=utf-8",
        content: include_bytes!("../../../web/static/style.css"),
    },
    Asset {
        name: "logo.svg",
        content_type: "image/svg+xml",
        content: include_bytes!("../../../web/static/logo.svg"),
    },
    Asset {
        name: "page.js",
        content_type: "text/javascript; charset=utf-8",
        content: include_bytes!("../../../web/static/page.js"),
    },
    Asset {
        name: "live.js",
        content_type: "text/javascript; charset=utf-8",
        content: include_bytes!("../../../web/static/live.js"),
    },
];

/// The start of each file's SHA-256: its version.
static VERSIONS: LazyLock<[String; ASSETS.len()]> = LazyLock::new(|| {
    ASSETS.map(|asset| {
        let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(asset.content).into();
        format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
    })
});

/// The address of a file, which names its version.
pub(crate) fn address(name: &str) -> String {
    let n = ASSETS.iter().position(|asset| asset.name == name);
    let n = n.expect("templates name files that are here");
    format!("/static/{name}?v={}", VERSIONS[n])
}

/// `GET /static/{name}`. An address with the version in it never changes what it stands for.
pub(crate) async fn file(PathVariable(name): PathVariable, request: Request) -> Result<Response> {
    let Some(n) = ASSETS.iter().position(|asset| asset.name == name) else {
        return Err(ApiError::new(
            ErrorCode::NotFound,
            format!("There is no file {}.", shown(&name)),
        ));
    };
    let (asset, version) = (&ASSETS[n], &VERSIONS[n]);
    let tag = format!("\"{version}\"");
    let is_versioned =
        request.uri().query().and_then(|query| query.strip_prefix("v=")) == Some(version.as_str());
    let known = request.headers().get(IF_NONE_MATCH).is_some_and(|known| known == tag.as_str());
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
        (
            CACHE_CONTROL,
            HeaderValue::from_static(if is_versioned {
                "public, max-age=31536000, immutable"
            } else {
                "public, no-cache"
            }),
        ),
        (ETAG, HeaderValue::try_from(tag).expect("hexadecimal in quotes")),
    ];
    Ok(if known {
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        (headers, asset.content).into_response()
    })
}
