//! The routes of the API: one table, from which the router is made and which tests walk through. The pages have one, too.

pub(crate) mod away;
pub(crate) mod compose;
mod deciding;
mod guardian;
mod guardians;
mod leaving;
mod merchant;
mod payee;
mod public;
mod push;
mod rails;
mod rules;
mod seeing;
mod sessions;
mod statement;
pub(crate) mod wallet;
mod watch;

use axum::routing::{get, post, put};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Anybody.
    Public,
    /// Anybody from one of the service's own pages (an `Origin` on the list).
    OwnPage,
    /// A watch with a proof of its key in the `DPoP` header.
    WatchProof,
    /// Whoever signed the message in the body: a watch.
    WatchMessage,
    /// A guardian's session.
    Guardian,
    /// A merchant's API key or its till's session.
    Merchant,
    /// Stripe, by its signature over the body.
    Stripe,
}

/// One route, of the API or a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// `get`, `post` or `put`.
    pub method: &'static str,
    /// With `{parts}`.
    pub path: &'static str,
    /// Who may use it.
    pub role: Role,
}

/// A table of routes and the router that is made from it.
macro_rules! routes {
    ($(#[$about:meta])* $table:ident: $($method:ident $path:literal $handler:expr, $role:ident;)*) => {
        $(#[$about])*
        pub const $table: &[$crate::Route] =
            &[$($crate::Route { method: stringify!($method), path: $path, role: $crate::Role::$role }),*];

        pub(crate) fn router() -> axum::Router<$crate::App> {
            axum::Router::new()$(.route($path, $method($handler)))*
        }
    };
}
pub(crate) use routes;

routes! {
    /// Every route of the API.
    ROUTES:

    get "/healthz" public::health, Public;
    get "/readyz" public::ready, Public;
    get "/metrics" public::metrics, Public;
    get "/api/service" public::service, Public;

    post "/api/pairings/{pairing}/claim" watch::claim, WatchMessage;
    get "/api/watch/{watch}/state" watch::state, WatchProof;
    get "/api/watch/{watch}/events" watch::events, WatchProof;
    get "/api/watch/{watch}/bills/{bill}" watch::bill, WatchProof;
    post "/api/watch/{watch}/pin" watch::report_pin, WatchMessage;
    post "/api/watch/{watch}/payee" payee::payee, WatchProof;
    post "/api/watch/{watch}/bills" payee::make_bill, WatchMessage;
    post "/api/watch/{watch}/orders" watch::place, WatchMessage;
    post "/api/watch/{watch}/orders/{order}/payment" watch::pay, WatchMessage;
    post "/api/watch/{watch}/orders/{order}/cancel" watch::cancel, WatchMessage;
    post "/api/watch/{watch}/orders/{order}/result" watch::report, WatchMessage;

    post "/api/guardian/found" guardian::found, OwnPage;
    post "/api/guardian/login-challenge" guardian::login_challenge, OwnPage;
    post "/api/guardian/login" guardian::login, OwnPage;
    post "/api/guardian/logout" guardian::logout, Guardian;
    get "/api/guardian/sessions" sessions::sessions, Guardian;
    post "/api/guardian/sessions/end-others" sessions::end_others, Guardian;
    post "/api/guardian/sessions/{session}/end" sessions::end, Guardian;
    get "/api/guardian/household" guardian::household, Guardian;
    get "/api/guardian/archive" leaving::archive, Guardian;
    get "/api/households/{household}/erased" leaving::erased, Public;
    get "/api/guardian/wallet" wallet::wallet, Guardian;
    post "/api/guardian/wallet/top-ups" wallet::top_up, Guardian;
    get "/api/guardian/events" guardian::events, Guardian;
    get "/api/guardian/orders" guardian::orders, Guardian;
    get "/api/guardian/orders/{order}" guardian::order, Guardian;
    get "/api/guardian/orders/{order}/evidence" guardian::evidence, Guardian;
    get "/api/guardian/orders/{order}/spending" deciding::spending, Guardian;
    post "/api/guardian/orders/{order}/strike" guardian::strike, Guardian;
    post "/api/guardian/orders/{order}/decision" guardian::decide, Guardian;
    get "/api/guardian/history" seeing::history, Guardian;
    get "/api/guardian/shops" seeing::shops, Guardian;
    get "/api/guardian/export" seeing::export, Guardian;
    get "/app/month/{month}" seeing::month, Guardian;
    post "/api/guardian/log" guardian::append, Guardian;
    post "/api/guardian/rules/test" rules::test, Guardian;
    post "/api/guardian/pairings" guardian::open_pairing, Guardian;
    get "/api/guardian/pairings/{pairing}" guardian::pairing, Guardian;
    post "/api/guardian/pairings/{pairing}/close" guardian::close_pairing, Guardian;
    post "/api/guardian/freeze" guardians::freeze, Guardian;
    post "/app/freeze" guardians::freeze_by_form, Guardian;
    post "/api/guardian/away" away::set, Guardian;
    post "/api/guardian/joins" guardians::open_join, Guardian;
    get "/api/guardian/joins/{pairing}" guardians::join, Guardian;
    post "/api/guardian/joins/{pairing}/close" guardians::close_join, Guardian;
    get "/api/guardian/push" push::key, Guardian;
    post "/api/guardian/push" push::subscribe, Guardian;
    post "/api/guardian/push/remove" push::remove, Guardian;
    post "/api/guardian/push/test" push::test, Guardian;
    post "/api/joins/{pairing}/claim" guardians::claim_join, OwnPage;
    get "/api/joins/{pairing}" guardians::join_progress, Public;
    post "/api/recovery/start" guardians::start_recovery, OwnPage;
    post "/api/recovery" guardians::recover, OwnPage;

    post "/api/rails/stripe" rails::stripe_event, Stripe;

    post "/api/merchant/enrol" merchant::enrol, OwnPage;
    get "/api/merchant" merchant::merchant, Merchant;
    put "/api/merchant/goods" merchant::set_goods, Merchant;
    get "/api/merchant/events" merchant::events, Merchant;
    post "/api/merchant/bills" merchant::create_bill, Merchant;
    get "/api/merchant/bills/{bill}" merchant::bill, Merchant;
    post "/api/merchant/bills/{bill}/cancel" merchant::cancel_bill, Merchant;
    get "/api/merchant/bills/{bill}/refunds" merchant::refunds, Merchant;
    post "/api/merchant/bills/{bill}/refunds" merchant::refund, Merchant;
    get "/api/merchant/statement" statement::statement, Merchant;
    post "/api/merchant/requotes/{ask}" merchant::answer, Merchant;
}
