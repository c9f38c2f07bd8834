//! How requests are read: strictly, with problems as answers, and without touching more bytes than [`MAX_BODY_LEN`].

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method};
use serde::de::DeserializeOwned;

use crate::App;
use crate::problem::ApiError;

/// Longest request body taken, in bytes.
pub const MAX_BODY_LEN: usize = 65_536;

/// A body of `application/json`.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &App) -> Result<Self, ApiError> {
        if media_type(request.headers()) != Some("application/json") {
            return Err(ApiError::MediaType("application/json"));
        }
        let body = body(request).await?;
        serde_json::from_slice(&body).map(Self).map_err(|error| ApiError::Form(error.to_string()))
    }
}

/// A body of `text/plain` in UTF-8, to the last byte.
#[derive(Debug)]
pub(crate) struct PlainText(pub(crate) String);

impl FromRequest<App> for PlainText {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &App) -> Result<Self, ApiError> {
        if media_type(request.headers()) != Some("text/plain") {
            return Err(ApiError::MediaType("text/plain"));
        }
        let body = body(request).await?;
        let text = std::str::from_utf8(&body).map_err(|_| ApiError::Form("the body is not text".to_owned()))?;
        Ok(Self(text.to_owned()))
    }
}

/// A signed message as the whole body: `application/jose` (RFC 7515 section 9.2.1).
#[derive(Debug)]
pub(crate) struct Wire(pub(crate) String);

impl FromRequest<App> for Wire {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &App) -> Result<Self, ApiError> {
        if media_type(request.headers()) != Some("application/jose") {
            return Err(ApiError::MediaType("application/jose"));
        }
        let body = body(request).await?;
        let text = std::str::from_utf8(&body).map_err(|_| ApiError::Form("the body is not text".to_owned()))?;
        Ok(Self(text.trim_ascii_end().to_owned()))
    }
}

/// The whole body, at most [`MAX_BODY_LEN`] bytes of it.
pub(crate) async fn body(request: Request) -> Result<Bytes, ApiError> {
    // The router's body limit answers 413 here.
    Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status().as_u16() {
        413 => ApiError::BodyTooLarge,
        _ => ApiError::Form("the body broke off".to_owned()),
    })
}

/// The parts of the path, as ids; a path that names none is not found.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, app).await;
        path.map(|path| Self(path.0)).map_err(|_| ApiError::NotFound)
    }
}

/// The query's parameters.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, app).await;
        query.map(|query| Self(query.0)).map_err(|rejection| ApiError::Form(rejection.body_text()))
    }
}

/// The request comes from one of our own pages: an `Origin` on the configured list (Fetch Standard, 3.2). Browsers
/// always send one with unsafe methods, and no other site's page can choose it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnPage;

impl FromRequestParts<App> for OwnPage {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let origin = text(&parts.headers, ORIGIN).ok_or(ApiError::ForeignOrigin)?;
        match app.config().origins.iter().any(|own| own == origin) {
            true => Ok(Self),
            false => Err(ApiError::ForeignOrigin),
        }
    }
}

pub(crate) fn is_unsafe(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// The value of a header that is there exactly once.
pub(crate) fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    text(headers, AUTHORIZATION)?.strip_prefix("Bearer ")
}

/// The first cookie of this name (RFC 6265 section 4.2).
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

fn media_type(headers: &HeaderMap) -> Option<&str> {
    text(headers, CONTENT_TYPE)?.split(';').next().map(str::trim)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn cookies_and_bearers_are_found() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; nodpay_session=two"));
        headers.append(COOKIE, HeaderValue::from_static("nodpay_till=3"));
        assert_eq!(cookie(&headers, "nodpay_session"), Some("two"));
        assert_eq!(cookie(&headers, "nodpay_till"), Some("3"));
        assert_eq!(cookie(&headers, "nodpay"), None);
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer ndp_x"));
        assert_eq!(bearer(&headers), Some("ndp_x"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer ndp_y"));
        assert_eq!(bearer(&headers), None);
    }
}
