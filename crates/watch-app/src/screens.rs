//! Draws a [`View`] and turns touches into [`UserAction`]s.
//!
//! No clock, no thread, no window system: time comes in through [`Screens::advance`], touches through
//! [`Screens::touch`], and the picture goes out through [`Screens::draw`] as RGB bytes, whoever shows them: the
//! simulator's page, a test, a frame buffer. All words come from [`crate::words`], all shapes from `ui/`.
//!
//! Order of use: `show` a view, `advance` the time, `draw`; then `touch` and `take_actions`; sleep at most
//! [`Screens::wake_in_ms`].
//!
//! **Invariant:** every text of another party passes `displayable` on its way to the screens.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use i_slint_core::accessibility::AccessibleStringProperty;
use i_slint_core::item_tree::{ItemRc, ItemTreeRc, ensure_item_tree_instantiated};
use i_slint_core::items::AccessibleRole;
use i_slint_core::window::WindowInner;
use jiff::tz::TimeZone;
use nodpay_core::{Amount, Occasion};
use nodpay_watch::view::{
    About, AmountPad, Basket, BasketLine, EndKind, Ending, Notice, PastOrder, PinGate, Screen, UserAction, View,
};
use slint::platform::software_renderer::{MinimalSoftwareWindow, RepaintBufferType};
use slint::platform::{Platform, PlatformError, PointerEventButton, WindowAdapter, WindowEvent};
use slint::{
    ComponentHandle, LogicalPosition, ModelRc, PhysicalSize, Rgb8Pixel, SharedPixelBuffer, SharedString, VecModel,
};

use crate::fonts::{self, displayable};
use crate::ui;
use crate::words::{self, Language};

/// The shape of the watch's face.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// 360 × 360, only the circle is seen.
    Round,
    /// 368 × 448.
    Square,
}

impl Shape {
    pub const ALL: [Self; 2] = [Self::Round, Self::Square];

    /// Width and height in pixels.
    #[must_use]
    pub const fn size(self) -> (u32, u32) {
        match self {
            Self::Round => (360, 360),
            Self::Square => (368, 448),
        }
    }

    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Round => "round",
            Self::Square => "square",
        }
    }
}

/// A finger on the glass, in pixels from the top left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Touch {
    Pressed { x: f32, y: f32 },
    Moved { x: f32, y: f32 },
    Released { x: f32, y: f32 },
}

/// What the face shows: `rgb` holds three bytes a pixel, row by row, `width * height * 3` in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    pub rgb: Vec<u8>,
}

/// A part of a picture, in its pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Area {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// Something to read or to tap, for a screen reader or for a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    pub label: String,
    pub role: Role,
    /// Pixels from the top left corner of the face.
    pub x: f32,
    pub y: f32,
    pub width: f32,
    pub height: f32,
    pub enabled: bool,
    /// False for what has to be scrolled to.
    pub in_sight: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Button,
    Text,
    Image,
}

/// A shop's name up to this long is never shortened in the heading of the bill.
const HEADING_CHARS: usize = 14;
/// A guardian's name up to this wide, in ems, has room in a title.
const TITLE_NAME_EMS: f32 = 6.0;
/// How often dots and nods move.
const STEP_MS: u64 = 350;
/// Nods of the welcome screen, then it rests: an idle watch does not draw.
const WELCOME_STEPS: u64 = 6;
/// Time between two pictures of a movement.
const FRAME_MS: u64 = 16;

/// The screens. A thread may hold several; they share the time.
pub struct Screens {
    watch: ui::Watch,
    window: Rc<MinimalSoftwareWindow>,
    now_ms: Rc<Cell<u64>>,
    shape: Shape,
    language: Language,
    /// Where the wearer is, for days.
    zone: TimeZone,
    /// Touched on the settings screen, and not yet spoken.
    wanted: Rc<Cell<Option<Language>>>,
    /// Chosen by the wearer, and not yet taken by the program.
    chosen: Option<Language>,
    view: Option<View>,
    /// When the screen now shown came up.
    shown_ms: u64,
    /// When the time runs out that the view counts down, and how long it was at first.
    countdown: Option<Countdown>,
    actions: Rc<RefCell<Vec<UserAction>>>,
    pixels: Vec<Rgb8Pixel>,
    /// What of each pixel the glass shows, 0 to 255; empty where all of it is.
    mask: Vec<u8>,
    picture: Picture,
    changed: Area,
}

#[derive(Clone, Copy)]
struct Countdown {
    ends_ms: u64,
    whole_ms: u64,
}

impl Screens {
    /// # Panics
    ///
    /// If another Slint platform was set on this thread.
    #[must_use]
    pub fn new(shape: Shape, language: Language) -> Self {
        Self::scaled(shape, language, 1.0)
    }

    /// For a glass of finer or coarser pixels: pictures are `scale` times the size of the shape, everything else, touches
    /// among it, stays in the shape's own pixels.
    ///
    /// # Panics
    ///
    /// As [`Self::new`].
    #[must_use]
    pub fn scaled(shape: Shape, language: Language, scale: f32) -> Self {
        let (watch, window, now_ms) = open_window(ui::Watch::new);
        let (width, height) = shape.size();
        let face = watch.global::<ui::Face>();
        face.set_round(shape == Shape::Round);
        face.set_width(pixels(width));
        face.set_height(pixels(height));
        let (width, height) = (scaled(width, scale), scaled(height, scale));
        window.dispatch_event(WindowEvent::ScaleFactorChanged { scale_factor: scale });
        window.set_size(PhysicalSize::new(width, height));

        let actions = Rc::new(RefCell::new(Vec::new()));
        let wanted = Rc::new(Cell::new(None));
        let (queue, wish) = (Rc::clone(&actions), Rc::clone(&wanted));
        watch.global::<ui::Act>().on_tapped(move |tap, number| {
            let place = usize::try_from(number).ok();
            queue.borrow_mut().push(match tap {
                ui::Tap::Start => UserAction::Start,
                ui::Tap::Digit => UserAction::Digit(u8::try_from(number).unwrap_or(0)),
                ui::Tap::Backspace => UserAction::Backspace,
                ui::Tap::Confirm => UserAction::Confirm,
                ui::Tap::Cancel => UserAction::Cancel,
                ui::Tap::Done => UserAction::Done,
                ui::Tap::History => UserAction::History,
                ui::Tap::Settings => UserAction::Settings,
                ui::Tap::AskGuardian => UserAction::AskGuardian,
                ui::Tap::UsePin => UserAction::UsePin,
                ui::Tap::Occasion => UserAction::Occasion(place.and_then(|place| Occasion::ALL.get(place).copied())),
                // The screens' own matter.
                ui::Tap::Language => {
                    wish.set(place.and_then(|place| Language::ALL.get(place).copied()));
                    return;
                }
            });
        });

        let area = usize::try_from(width * height).unwrap_or(0);
        let mut screens = Self {
            watch,
            window,
            shown_ms: now_ms.get(),
            now_ms,
            shape,
            language,
            zone: TimeZone::UTC,
            wanted,
            chosen: None,
            view: None,
            countdown: None,
            actions,
            pixels: vec![Rgb8Pixel::new(0, 0, 0); area],
            mask: if shape == Shape::Round { circle(width) } else { Vec::new() },
            picture: Picture { width, height, rgb: vec![0; area * 3] },
            changed: Area::default(),
        };
        screens.set_language(language);
        screens
    }

    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    #[must_use]
    pub fn language(&self) -> Language {
        self.language
    }

    /// The language the wearer chose since the last call. It is spoken already; the program keeps it for the next start.
    pub fn take_language(&mut self) -> Option<Language> {
        self.chosen.take()
    }

    /// Where the wearer is, for the days of the history; UTC until told.
    pub fn set_zone(&mut self, zone: TimeZone) {
        self.zone = zone;
    }

    pub fn set_language(&mut self, language: Language) {
        self.language = language;
        let (say, words) = (self.watch.global::<ui::Say>(), language.words());
        say.set_pay(words.pay.into());
        say.set_scan(words.scan.into());
        say.set_ok(words.ok.into());
        say.set_confirm(words.confirm.into());
        say.set_back(words.back.into());
        say.set_cancel(words.cancel.into());
        say.set_done(words.done.into());
        say.set_delete(words.delete.into());
        say.set_camera(words.camera.into());
        say.set_no_network(words.no_network.into());
        say.set_total(words.total.into());
        say.set_at_most(words.at_most.into());
        say.set_suggestion(words.suggestion.into());
        say.set_time_left(words.time_left.into());
        say.set_locked(words.locked.into());
        say.set_balance(words.balance.into());
        say.set_balance_left(words.balance_left.into());
        say.set_history_empty(words.history_empty.into());
        say.set_history_empty_hint(words.history_empty_hint.into());
        say.set_history(words.history.into());
        say.set_settings(words.settings.into());
        say.set_why(words.why.into());
        say.set_why_title(words.why_title.into());
        say.set_occasions(strings(Occasion::ALL.map(|occasion| words::occasion(language, occasion))));
        say.set_ask_guardian(words.ask_guardian.into());
        say.set_asked(words.asked.into());
        say.set_use_pin(words.use_pin.into());
        say.set_languages(strings(Language::ALL.map(Language::name)));
        say.set_change_pin(words.change_pin.into());
        say.set_service(words.service.into());
        say.set_watch_id(words.watch_id.into());
        say.set_version(words.version.into());
        if let Some(view) = self.view.take() {
            self.fill(&view);
            self.view = Some(view);
        }
    }

    /// Shows a view. A time left in it is counted down from here on, so that the agent need not yield one each second.
    pub fn show(&mut self, view: &View) {
        let now_ms = self.now_ms.get();
        let same_screen = self.view.as_ref().is_some_and(|old| kind(&old.screen) == kind(&view.screen));
        if !same_screen {
            self.shown_ms = now_ms;
        }
        self.countdown = left_ms(&view.screen).map(|left_ms| Countdown {
            ends_ms: now_ms.saturating_add(left_ms),
            whole_ms: self.countdown.filter(|_| same_screen).map_or(left_ms, |old| old.whole_ms.max(left_ms)),
        });
        if self.view.as_ref() != Some(view) {
            self.fill(view);
            self.view = Some(view.clone());
        }
        self.tick();
        self.settle();
    }

    /// The camera's picture, one byte a pixel, for the scan screen; ignored on every other.
    pub fn set_preview(&mut self, width: u32, height: u32, luma: &[u8]) {
        let scanning = self.view.as_ref().is_some_and(|view| matches!(view.screen, Screen::Scan { .. }));
        let whole = u64::try_from(luma.len()).ok() == Some(u64::from(width) * u64::from(height));
        if !scanning || !whole || luma.is_empty() {
            return;
        }
        let state = self.watch.global::<ui::State>();
        state.set_preview(slint::Image::from_rgb8(cover(self.shape.size(), (width, height), luma)));
        state.set_has_preview(true);
    }

    pub fn touch(&mut self, touch: Touch) {
        let button = PointerEventButton::Left;
        let window = self.window.window();
        match touch {
            Touch::Pressed { x, y } => {
                window.dispatch_event(WindowEvent::PointerPressed { position: LogicalPosition::new(x, y), button });
            }
            Touch::Moved { x, y } => {
                window.dispatch_event(WindowEvent::PointerMoved { position: LogicalPosition::new(x, y) });
            }
            Touch::Released { x, y } => {
                window.dispatch_event(WindowEvent::PointerReleased { position: LogicalPosition::new(x, y), button });
                // The finger has left the glass: nothing hovers.
                window.dispatch_event(WindowEvent::PointerExited);
            }
        }
        self.follow_language();
    }

    fn follow_language(&mut self) {
        if let Some(language) = self.wanted.take() {
            self.chosen = Some(language);
            self.set_language(language);
        }
    }

    /// Touches the middle of the enabled button with this label. False if there is none in sight.
    pub fn tap(&mut self, label: &str) -> bool {
        let button = |element: &Element| {
            element.role == Role::Button && element.label == label && element.enabled && element.in_sight
        };
        let Some(element) = self.elements().into_iter().find(button) else { return false };
        let (x, y) = (element.x + element.width / 2.0, element.y + element.height / 2.0);
        self.touch(Touch::Pressed { x, y });
        self.touch(Touch::Released { x, y });
        true
    }

    /// What the wearer did since the last call, in order.
    pub fn take_actions(&mut self) -> Vec<UserAction> {
        std::mem::take(&mut self.actions.borrow_mut())
    }

    /// Lets the time be `now_ms`, on any clock that never goes back.
    pub fn advance(&mut self, now_ms: u64) {
        self.now_ms.set(self.now_ms.get().max(now_ms));
        self.tick();
        slint::platform::update_timers_and_animations();
        self.follow_language();
    }

    /// In how many milliseconds `advance` and `draw` have something to do without another view or touch.
    #[must_use]
    pub fn wake_in_ms(&self) -> Option<u64> {
        let now_ms = self.now_ms.get();
        let movement = self.window.has_active_animations().then_some(FRAME_MS);
        let timer = slint::platform::duration_until_next_timer_update()
            .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let steps = now_ms.saturating_sub(self.shown_ms);
        let step = (steps / STEP_MS < self.last_step()).then(|| STEP_MS - steps % STEP_MS);
        let second = self.countdown.filter(|countdown| countdown.ends_ms > now_ms).map(|countdown| {
            match (countdown.ends_ms - now_ms) % 1000 {
                0 => 1000,
                rest => rest,
            }
        });
        [movement, timer, step, second].into_iter().flatten().min()
    }

    /// The picture, if it changed since the last call.
    pub fn draw(&mut self) -> Option<&Picture> {
        let stride = usize::try_from(self.picture.width).unwrap_or(0);
        let (canvas, changed) = (&mut self.pixels, &mut self.changed);
        let drawn = self.window.draw_if_needed(|renderer| {
            let region = renderer.render(canvas, stride);
            let (origin, size) = (region.bounding_box_origin(), region.bounding_box_size());
            let start = |start: i32| u32::try_from(start).unwrap_or(0);
            *changed = Area { x: start(origin.x), y: start(origin.y), width: size.width, height: size.height };
        });
        if !drawn {
            return None;
        }
        for (bytes, pixel) in self.picture.rgb.chunks_exact_mut(3).zip(&self.pixels) {
            bytes.copy_from_slice(&[pixel.r, pixel.g, pixel.b]);
        }
        for (bytes, &share) in self.picture.rgb.chunks_exact_mut(3).zip(&self.mask) {
            if share < 255 {
                for byte in bytes {
                    *byte = u8::try_from(u16::from(*byte) * u16::from(share) / 255).unwrap_or(0);
                }
            }
        }
        Some(&self.picture)
    }

    /// The picture as last drawn.
    #[must_use]
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// What the last drawing changed of it.
    #[must_use]
    pub fn changed(&self) -> Area {
        self.changed
    }

    /// What can be read and tapped now, in reading order.
    #[must_use]
    pub fn elements(&self) -> Vec<Element> {
        let mut found = Vec::new();
        collect(&ItemRc::new_root(self.settle()), &mut found);
        found
    }

    /// Makes the items of the screen shown now, which Slint would otherwise do when it next draws: touches and labels
    /// must never meet those of the screen before.
    fn settle(&self) -> ItemTreeRc {
        let root = WindowInner::from_pub(self.window.window()).component();
        ensure_item_tree_instantiated(&root);
        root
    }

    fn last_step(&self) -> u64 {
        match self.view.as_ref().map(|view| &view.screen) {
            Some(Screen::Fetching | Screen::Sending | Screen::Paying { .. } | Screen::Pairing { .. }) => u64::MAX,
            Some(Screen::Welcome { .. }) => WELCOME_STEPS,
            Some(
                Screen::Scan { .. }
                | Screen::ChoosePin { .. }
                | Screen::Home { .. }
                | Screen::Review(_)
                | Screen::Pin { .. }
                | Screen::Recognise { .. }
                | Screen::Amount(_)
                | Screen::History(_)
                | Screen::Settings(_)
                | Screen::Waiting { .. }
                | Screen::Ended(_),
            )
            | None => 0,
        }
    }

    /// What moves with the time alone.
    fn tick(&mut self) {
        let state = self.watch.global::<ui::State>();
        let now_ms = self.now_ms.get();
        let step = (now_ms.saturating_sub(self.shown_ms) / STEP_MS).min(self.last_step());
        state.set_step(i32::try_from(step % 600).unwrap_or(0));
        if let Some(countdown) = self.countdown {
            let left_ms = countdown.ends_ms.saturating_sub(now_ms);
            state.set_clock(words::clock(left_ms).into());
            // Whole seconds, so that the ring moves with the clock and not in between.
            state.set_left(share(left_ms.div_ceil(1000), countdown.whole_ms.div_ceil(1000)));
        }
    }

    /// Every property of a screen that does not move with the time.
    fn fill(&self, view: &View) {
        let state = self.watch.global::<ui::State>();
        let language = self.language;
        let words = language.words();
        state.set_online(view.online);
        // Each screen sets what it shows; what several of them share is cleared first.
        self.fill_notice(None);
        self.fill_title("");
        state.set_body(Default::default());
        state.set_struck(Default::default());
        state.set_said(Default::default());
        state.set_suggested(Default::default());
        state.set_guardian(Default::default());
        state.set_rule(Default::default());
        state.set_balance(Default::default());
        state.set_gate(ui::Gate::Open);
        state.set_asked(false);
        state.set_asking_why(false);
        if !matches!(view.screen, Screen::Scan { .. }) {
            state.set_has_preview(false);
            state.set_preview(Default::default());
        }
        match &view.screen {
            Screen::Welcome { notice } => {
                self.fill_title(words.welcome);
                state.set_body(words.welcome_hint.into());
                self.fill_notice(notice.as_ref());
            }
            Screen::Scan { purpose, notice } => {
                self.fill_title(words::scan_hint(language, *purpose));
                self.fill_notice(notice.as_ref());
            }
            Screen::ChoosePin { digits, again, notice } => {
                self.fill_digits(*digits);
                self.fill_notice(notice.as_ref());
                if let Some(notice) = notice {
                    let sentence = self.sentence(notice);
                    self.fill_title(&sentence.what);
                    state.set_body(sentence.next.into());
                } else {
                    self.fill_title(if *again { words.choose_pin_again } else { words.choose_pin });
                    state.set_body(words.choose_pin_hint.into());
                }
            }
            Screen::Pairing { check, left_ms: _ } => {
                self.fill_title(words.pairing);
                state.set_body(words.pairing_hint.into());
                state.set_amount(displayable(check).into());
            }
            Screen::Home { wearer, balance, notice } => {
                self.fill_title(&words::greeting(language, &displayable(wearer)));
                state.set_amount(balance.map(words::amount).unwrap_or_default().into());
                self.fill_notice(notice.as_ref());
            }
            Screen::Fetching => self.fill_busy(view.online, words.fetching, words.fetching_offline_hint),
            Screen::Amount(pad) => self.fill_pad(pad),
            Screen::Review(basket) => self.fill_basket(basket),
            Screen::Pin { digits, gate, asked } => self.fill_pin(*digits, *gate, *asked),
            Screen::Recognise { notice } => {
                self.fill_title(words.recognise);
                state.set_body(words.recognise_hint.into());
                self.fill_notice(notice.as_ref());
            }
            Screen::Sending => self.fill_busy(view.online, words.sending, words.sending_offline_hint),
            Screen::Waiting { shop, total, left_ms: _, unanswered, one_nod } => {
                self.fill_title(match (view.online, unanswered, one_nod) {
                    (false, ..) => words.no_network,
                    (true, true, _) => words.bank_silent,
                    (true, false, true) => words.one_nod,
                    (true, false, false) => words.waiting,
                });
                self.fill_order(shop, *total);
            }
            Screen::Paying { shop, total, struck: _, guardian: _, words: _, rule: _, unanswered: true } => {
                self.fill_order(shop, *total);
                self.fill_title(words.bank_silent);
                state.set_said(words.bank_silent_hint.into());
            }
            Screen::Paying { shop, total, struck, guardian, words: said, rule, unanswered: false } => {
                self.fill_order(shop, *total);
                let in_title = self.fill_guardian(guardian.as_deref(), struck);
                self.fill_rule(rule.as_deref());
                let title = if rule.is_some() { words::allowed } else { words::nodded };
                self.fill_title(&title(language, in_title.as_deref()));
                state
                    .set_said(said.as_deref().map(|said| words::quoted(&displayable(said))).unwrap_or_default().into());
            }
            Screen::Ended(ending) => self.fill_ending(ending),
            Screen::History(past) => {
                self.fill_title(words.history);
                let rows: Vec<ui::Past> = past.iter().map(|past| self.past(past)).collect();
                state.set_past(ModelRc::new(VecModel::from(rows)));
            }
            Screen::Settings(about) => self.fill_settings(about),
        }
        // Last, so that a new screen is made of its own facts.
        state.set_kind(kind(&view.screen));
    }

    /// A heading of one line, set in the face that has its letters.
    fn fill_title(&self, title: &str) {
        let state = self.watch.global::<ui::State>();
        state.set_title_plain(!fonts::is_bold(title));
        state.set_title_ems(fonts::ems(title));
        state.set_title(title.into());
    }

    fn fill_busy(&self, online: bool, doing: &str, offline_hint: &str) {
        let state = self.watch.global::<ui::State>();
        state.set_notice(!online);
        if online {
            self.fill_title(doing);
        } else {
            self.fill_title(self.language.words().no_network);
            state.set_body(offline_hint.into());
        }
    }

    fn fill_digits(&self, digits: usize) {
        let state = self.watch.global::<ui::State>();
        state.set_digits(i32::try_from(digits).unwrap_or(0));
        state.set_digits_said(words::digits_typed(self.language, digits).into());
    }

    fn fill_pin(&self, digits: usize, gate: PinGate, asked: bool) {
        let state = self.watch.global::<ui::State>();
        let words = self.language.words();
        self.fill_digits(digits);
        state.set_asked(asked);
        match gate {
            PinGate::Open { tries_left: None } => self.fill_title(words.pin),
            PinGate::Open { tries_left: Some(tries) } => {
                self.fill_title(&words::tries_left(self.language, tries));
                state.set_notice(true);
            }
            PinGate::Wait { .. } => {
                state.set_gate(ui::Gate::Wait);
                state.set_body(if asked { words.asked } else { words.locked_hint }.into());
            }
            PinGate::Guardian => {
                state.set_gate(ui::Gate::Guardian);
                state.set_body(if asked { words.asked } else { words.locked_guardian_hint }.into());
            }
        }
    }

    fn fill_pad(&self, pad: &AmountPad) {
        let state = self.watch.global::<ui::State>();
        self.fill_order(&pad.shop, pad.typed);
        self.fill_notice(pad.notice.as_ref());
        let typed = pad.typed.minor();
        // Whether something was typed is all that the keypad asks.
        state.set_digits(i32::from(typed != 0));
        state.set_ready((pad.least.minor()..=pad.most.minor()).contains(&typed) && typed != 0);
        state.set_bounds(words::bounds(pad.least, pad.most).into());
    }

    fn fill_order(&self, shop: &str, total: Amount) {
        let state = self.watch.global::<ui::State>();
        state.set_shop(displayable(shop).into());
        state.set_amount(words::amount(total).into());
    }

    /// Who decided and what they took out. Gives the name back if it has room in a title.
    fn fill_guardian(&self, guardian: Option<&str>, struck: &[String]) -> Option<String> {
        let state = self.watch.global::<ui::State>();
        let guardian = guardian.map(displayable);
        if !struck.is_empty() {
            let names: Vec<String> = struck.iter().map(|name| displayable(name)).collect();
            state.set_struck(words::took_out(self.language, guardian.as_deref(), &names).into());
        }
        let in_title = guardian.clone().filter(|name| fonts::ems(name) <= TITLE_NAME_EMS);
        if let Some(name) = guardian.filter(|_| in_title.is_none() && struck.is_empty()) {
            state.set_guardian(words::decided_by(self.language, &name).into());
        }
        in_title
    }

    /// The name of the rule that decided in a guardian's stead.
    fn fill_rule(&self, rule: Option<&str>) {
        let state = self.watch.global::<ui::State>();
        let named = rule.map(|rule| words::by_rule(self.language, &displayable(rule)));
        state.set_rule(named.unwrap_or_default().into());
    }

    fn fill_basket(&self, basket: &Basket) {
        let state = self.watch.global::<ui::State>();
        self.fill_order(&basket.shop, basket.total);
        state.set_at_most(basket.at_most);
        let chosen = basket.occasion.and_then(|chosen| Occasion::ALL.iter().position(|&one| one == chosen));
        state.set_occasion(chosen.and_then(|place| i32::try_from(place).ok()).unwrap_or(-1));
        let shop = displayable(&basket.shop);
        // A name too long for the heading stands in full below the lines.
        let place = displayable(&basket.place);
        let long = shop.chars().count() > HEADING_CHARS;
        state.set_place(if long { format!("{shop} · {place}") } else { place }.into());
        let currency = basket.total.currency();
        let lines: Vec<ui::Line> = basket
            .lines
            .iter()
            .map(|BasketLine { name, quantity, amount_minor }| ui::Line {
                name: displayable(name).into(),
                quantity: if *quantity > 1 { format!("× {quantity}").into() } else { Default::default() },
                amount: words::amount_minor(*amount_minor, currency.code(), currency.exponent()).into(),
                adjustment: *quantity == 0,
            })
            .collect();
        state.set_lines(ModelRc::new(VecModel::from(lines)));
    }

    fn fill_ending(&self, ending: &Ending) {
        let state = self.watch.global::<ui::State>();
        self.fill_order(&ending.shop, ending.total);
        let in_title = self.fill_guardian(ending.guardian.as_deref(), &ending.struck);
        self.fill_rule(ending.rule.as_deref());
        self.fill_title(&match ending.reason {
            Some(Notice::Rule(_)) => words::ruled_out(self.language, in_title.as_deref()),
            _ => words::ended(self.language, ending.kind, in_title.as_deref()),
        });
        state.set_mark(mark(ending.kind));
        state.set_body(self.language.words().nothing_paid.into());
        if let Some(Notice::Words(said)) = &ending.reason {
            state.set_said(words::quoted(&displayable(said)).into());
        } else {
            self.fill_notice(ending.reason.as_ref());
        }
        if let Some(suggestion) = &ending.suggestion {
            let words = self.language.words();
            let sentences = words::suggested(self.language, suggestion).into_iter();
            let sentences: Vec<SharedString> = sentences.map(|sentence| displayable(&sentence).into()).collect();
            state.set_suggested(ModelRc::new(VecModel::from(sentences)));
            state.set_again(if suggestion.same_bill { words.ask_again } else { words.scan_again }.into());
        }
        state.set_balance(ending.balance.map(words::amount).unwrap_or_default().into());
    }

    fn past(&self, past: &PastOrder) -> ui::Past {
        let day = words::day(self.language, past.at, &self.zone);
        ui::Past {
            mark: mark(past.kind),
            shop: displayable(&past.shop).into(),
            when: format!("{day} · {}", words::past(self.language, past.kind)).into(),
            amount: words::amount(past.total).into(),
        }
    }

    fn fill_settings(&self, about: &About) {
        let state = self.watch.global::<ui::State>();
        self.fill_title(self.language.words().settings);
        let spoken = Language::ALL.iter().position(|&language| language == self.language);
        state.set_language(spoken.and_then(|place| i32::try_from(place).ok()).unwrap_or(0));
        state.set_paired(!about.watch.is_empty());
        state.set_asked(about.pin_change_asked);
        state.set_body(words::session(self.language, about.session_ms).into());
        state.set_service(displayable(&about.service).into());
        state.set_watch_id(displayable(&about.watch).into());
        state.set_version(env!("CARGO_PKG_VERSION").into());
    }

    fn fill_notice(&self, notice: Option<&Notice>) {
        let state = self.watch.global::<ui::State>();
        let sentence = notice.map(|notice| self.sentence(notice));
        state.set_notice(sentence.is_some());
        let (what, next) = sentence.map(|sentence| (sentence.what, sentence.next)).unwrap_or_default();
        state.set_notice_plain(!fonts::is_bold(&what));
        state.set_notice_what(what.into());
        state.set_notice_good(matches!(
            notice,
            Some(
                Notice::PinUnlocked
                    | Notice::PinChanged
                    | Notice::SessionSet { .. }
                    | Notice::GuardianAdded
                    | Notice::RuleLooser { .. }
            )
        ));
        state.set_notice_next(next.into());
    }

    fn sentence(&self, notice: &Notice) -> words::Sentence {
        let sentence = words::notice(self.language, notice);
        words::Sentence { what: displayable(&sentence.what), next: sentence.next }
    }
}

fn kind(screen: &Screen) -> ui::Kind {
    match screen {
        Screen::Welcome { .. } => ui::Kind::Welcome,
        Screen::Scan { .. } => ui::Kind::Scan,
        Screen::ChoosePin { .. } => ui::Kind::ChoosePin,
        Screen::Pairing { .. } => ui::Kind::Pairing,
        Screen::Home { .. } => ui::Kind::Home,
        Screen::Fetching => ui::Kind::Fetching,
        Screen::Review(_) => ui::Kind::Review,
        Screen::Amount(_) => ui::Kind::Amount,
        Screen::Pin { .. } => ui::Kind::Pin,
        Screen::Recognise { .. } => ui::Kind::Recognise,
        Screen::Sending => ui::Kind::Sending,
        Screen::Waiting { .. } => ui::Kind::Waiting,
        Screen::Paying { .. } => ui::Kind::Paying,
        Screen::Ended(_) => ui::Kind::Ended,
        Screen::History(_) => ui::Kind::History,
        Screen::Settings(_) => ui::Kind::Settings,
    }
}

fn mark(kind: EndKind) -> ui::Mark {
    match kind {
        EndKind::Paid => ui::Mark::Paid,
        EndKind::Failed => ui::Mark::Failed,
        EndKind::Refused => ui::Mark::Refused,
        EndKind::Expired => ui::Mark::Expired,
        EndKind::Cancelled => ui::Mark::Cancelled,
    }
}

fn strings<const N: usize>(texts: [&str; N]) -> ModelRc<SharedString> {
    ModelRc::new(VecModel::from(texts.map(SharedString::from).to_vec()))
}

/// The time a screen counts down.
fn left_ms(screen: &Screen) -> Option<u64> {
    match screen {
        Screen::Pairing { left_ms, .. } | Screen::Waiting { left_ms, .. } => Some(*left_ms),
        Screen::Pin { gate: PinGate::Wait { left_ms }, .. } => Some(*left_ms),
        Screen::Welcome { .. }
        | Screen::Scan { .. }
        | Screen::ChoosePin { .. }
        | Screen::Home { .. }
        | Screen::Fetching
        | Screen::Review(_)
        | Screen::Pin { .. }
        | Screen::Recognise { .. }
        | Screen::Amount(_)
        | Screen::History(_)
        | Screen::Settings(_)
        | Screen::Sending
        | Screen::Paying { .. }
        | Screen::Ended(_) => None,
    }
}

/// Accessible items below `item`, in tree order. Texts inside a button are the button's label.
fn collect(item: &ItemRc, found: &mut Vec<Element>) {
    let mut next = item.first_child();
    while let Some(child) = next {
        if let Some(element) = element(&child) {
            found.push(element);
        }
        collect(&child, found);
        next = child.next_sibling();
    }
}

fn element(item: &ItemRc) -> Option<Element> {
    if !item.is_accessible() {
        return None;
    }
    #[allow(clippy::wildcard_enum_match_arm)] // Slint's enum, not ours: it grows.
    let role = match item.accessible_role() {
        AccessibleRole::Button => Role::Button,
        AccessibleRole::Text => Role::Text,
        AccessibleRole::Image => Role::Image,
        _ => return None,
    };
    let label = item.accessible_string_property(AccessibleStringProperty::Label)?;
    if label.is_empty() {
        return None;
    }
    let enabled = item.accessible_string_property(AccessibleStringProperty::Enabled).is_none_or(|it| it == "true");
    let geometry = item.geometry();
    let origin = item.map_to_window(geometry.origin);
    Some(Element {
        label: label.to_string(),
        role,
        x: origin.x,
        y: origin.y,
        width: geometry.width(),
        height: geometry.height(),
        enabled,
        in_sight: item.is_visible(),
    })
}

/// Scales `luma` so that it covers the whole face, and cuts what is beyond it.
fn cover(face: (u32, u32), source: (u32, u32), luma: &[u8]) -> SharedPixelBuffer<Rgb8Pixel> {
    let mut buffer = SharedPixelBuffer::<Rgb8Pixel>::new(face.0, face.1);
    // A face pixel is `source / face` source pixels, by whichever side is shorter: compared as cross products.
    let wide = u64::from(source.0) * u64::from(face.1) > u64::from(source.1) * u64::from(face.0);
    let (numerator, denominator) = if wide { (source.1, face.1) } else { (source.0, face.0) };
    let scaled = |position: u32, face: u32, source: u32| {
        let along = (u64::from(position) * 2 + 1) * u64::from(numerator) / (u64::from(denominator) * 2);
        let used = u64::from(face) * u64::from(numerator) / u64::from(denominator);
        let at = along + (u64::from(source) - used.min(u64::from(source))) / 2;
        usize::try_from(at.min(u64::from(source) - 1)).unwrap_or(0)
    };
    let columns: Vec<usize> = (0..face.0).map(|x| scaled(x, face.0, source.0)).collect();
    let width = usize::try_from(source.0).unwrap_or(0);
    let rows = buffer.make_mut_slice().chunks_exact_mut(columns.len());
    for (y, row) in (0..face.1).zip(rows) {
        let start = scaled(y, face.1, source.1) * width;
        for (pixel, column) in row.iter_mut().zip(&columns) {
            let grey = luma.get(start + column).copied().unwrap_or(0);
            *pixel = Rgb8Pixel::new(grey, grey, grey);
        }
    }
    buffer
}

/// The share of each pixel inside the circle that fills a square of `size` pixels.
fn circle(size: u32) -> Vec<u8> {
    let radius = pixels(size) / 2.0;
    let mut mask = Vec::new();
    for y in 0..size {
        for x in 0..size {
            let distance = (pixels(x) + 0.5 - radius).hypot(pixels(y) + 0.5 - radius);
            let share = (radius - distance + 0.5).clamp(0.0, 1.0);
            #[allow(clippy::as_conversions)] // From 0.0 to 255.0.
            mask.push((share * 255.0) as u8);
        }
    }
    mask
}

/// At least one pixel.
#[allow(clippy::as_conversions)] // As below; a negative or endless product saturates.
fn scaled(count: u32, scale: f32) -> u32 {
    ((pixels(count) * scale).round() as u32).max(1)
}

#[allow(clippy::as_conversions)] // Display sizes are far below the integers an f32 holds exactly.
fn pixels(count: u32) -> f32 {
    count as f32
}

#[allow(clippy::as_conversions)] // Seconds; precision does not matter to a ring.
fn share(left: u64, whole: u64) -> f32 {
    if whole == 0 { 0.0 } else { (left as f32 / whole as f32).clamp(0.0, 1.0) }
}

/// One window a `Screens`; the platform and its clock are the thread's.
struct WatchPlatform {
    now_ms: Rc<Cell<u64>>,
    opened: Rc<RefCell<Option<Rc<MinimalSoftwareWindow>>>>,
}

impl Platform for WatchPlatform {
    fn create_window_adapter(&self) -> Result<Rc<dyn WindowAdapter>, PlatformError> {
        let window = MinimalSoftwareWindow::new(RepaintBufferType::ReusedBuffer);
        *self.opened.borrow_mut() = Some(Rc::clone(&window));
        Ok(window)
    }

    fn duration_since_start(&self) -> Duration {
        Duration::from_millis(self.now_ms.get())
    }
}

type Opened = Rc<RefCell<Option<Rc<MinimalSoftwareWindow>>>>;

thread_local! {
    static PLATFORM: RefCell<Option<(Rc<Cell<u64>>, Opened)>> = const { RefCell::new(None) };
}

/// The name of a picture, to stand above it.
pub(crate) fn caption(name: &str, width: u32, height: u32) -> Picture {
    let (caption, window, _) = open_window(ui::Caption::new);
    caption.set_name(name.into());
    window.set_size(PhysicalSize::new(width, height));
    let mut canvas = vec![Rgb8Pixel::new(0, 0, 0); usize::try_from(width * height).unwrap_or(0)];
    window.draw_if_needed(|renderer| {
        renderer.render(&mut canvas, usize::try_from(width).unwrap_or(0));
    });
    Picture { width, height, rgb: canvas.iter().flat_map(|pixel| [pixel.r, pixel.g, pixel.b]).collect() }
}

fn open_window<W: ComponentHandle>(
    make: impl FnOnce() -> Result<W, PlatformError>,
) -> (W, Rc<MinimalSoftwareWindow>, Rc<Cell<u64>>) {
    let (now_ms, opened) = PLATFORM.with_borrow_mut(|platform| {
        let set = platform.get_or_insert_with(|| {
            let (now_ms, opened) = (Rc::new(Cell::new(0)), Opened::default());
            let ours = WatchPlatform { now_ms: Rc::clone(&now_ms), opened: Rc::clone(&opened) };
            slint::platform::set_platform(Box::new(ours)).expect("no other Slint platform on this thread");
            fonts::register();
            (now_ms, opened)
        });
        (Rc::clone(&set.0), Rc::clone(&set.1))
    });
    let component = make().expect("our platform opens windows");
    component.show().expect("our windows show");
    let window = opened.borrow_mut().take().expect("the window was opened just now");
    (component, window, now_ms)
}

#[cfg(test)]
mod tests {
    use i_slint_core::items::{ComplexText, Orientation, TextOverflow, TextWrap};

    use super::*;
    use crate::gallery;

    /// Room for rounding to whole pixels.
    const SLACK: f32 = 1.0;

    fn each_screen(mut test: impl FnMut(&str, &Screens)) {
        for shape in Shape::ALL {
            for language in Language::ALL {
                let mut screens = Screens::new(shape, language);
                for entry in gallery::gallery() {
                    entry.show(&mut screens);
                    test(&format!("{} {language:?} {shape:?}", entry.name), &screens);
                }
                let notices = gallery::notices().into_iter().flat_map(|notice| {
                    let home =
                        Screen::Home { wearer: "小明".to_owned(), balance: None, notice: Some(notice.clone()) };
                    let scan =
                        Screen::Scan { purpose: nodpay_watch::view::ScanFor::Paying, notice: Some(notice.clone()) };
                    let welcome = Screen::Welcome { notice: Some(notice) };
                    [home, scan, welcome].map(|screen| ("a notice", screen))
                });
                for (name, screen) in notices.chain(gallery::extremes()) {
                    screens.show(&View { screen, online: true });
                    screens.draw();
                    test(&format!("{name} {language:?} {shape:?}"), &screens);
                }
            }
        }
    }

    fn texts(item: &ItemRc, found: &mut Vec<ItemRc>) {
        let mut next = item.first_child();
        while let Some(child) = next {
            if child.downcast::<ComplexText>().is_some() {
                found.push(child.clone());
            }
            texts(&child, found);
            next = child.next_sibling();
        }
    }

    /// Every text has the room that its letters take, those apart that may end in an ellipsis.
    #[test]
    fn no_text_is_cut_off() {
        let mut cut = std::collections::BTreeSet::new();
        each_screen(|name, screens| {
            let adapter: Rc<dyn WindowAdapter> = screens.window.clone();
            let mut found = Vec::new();
            texts(&ItemRc::new_root(screens.settle()), &mut found);
            assert!(!found.is_empty(), "{name}");
            for item in found {
                let text = item.downcast::<ComplexText>().expect("as collected");
                let text = text.as_pin_ref();
                let (said, size) = (text.text(), item.geometry().size);
                let needs = |orientation, across| {
                    item.borrow().as_ref().layout_info(orientation, across, &adapter, &item).preferred
                };
                let may_end_early = text.overflow() == TextOverflow::Elide;
                // Without a number of lines Slint drops the first ones of a centred text that is too long.
                assert!(!may_end_early || text.wrap() == TextWrap::NoWrap || text.max_lines() > 0, "{name}: {said}");
                let (said, room) = (said.chars().take(40).collect::<String>(), (size.width, size.height));
                if text.wrap() == TextWrap::NoWrap && !may_end_early {
                    let width = needs(Orientation::Horizontal, -1.0);
                    if width > size.width + SLACK {
                        cut.insert(format!("{name}: {said} is {width} wide, has {room:?}"));
                    }
                }
                let height = needs(Orientation::Vertical, size.width);
                if height > size.height + SLACK || size.width <= 8.0 {
                    cut.insert(format!("{name}: {said} is {height} high, has {room:?}"));
                }
            }
        });
        assert!(cut.is_empty(), "{cut:#?}");
    }

    /// What the round glass hides is ground and nothing else: nothing is clipped by it but the camera's picture.
    #[test]
    fn nothing_is_drawn_beyond_the_circle() {
        let mut beyond = std::collections::BTreeSet::new();
        each_screen(|name, screens| {
            let scanning = screens.view.as_ref().is_some_and(|view| matches!(view.screen, Screen::Scan { .. }));
            if screens.shape != Shape::Round || scanning {
                return;
            }
            let ground = screens.pixels[0];
            for (pixel, &share) in screens.pixels.iter().zip(&screens.mask) {
                // A fade over the ground may differ from it by rounding.
                let near = |one: u8, two: u8| one.abs_diff(two) <= 3;
                let is_ground = near(pixel.r, ground.r) && near(pixel.g, ground.g) && near(pixel.b, ground.b);
                if share < 255 && !is_ground {
                    beyond.insert(name.to_owned());
                }
            }
        });
        assert!(beyond.is_empty(), "{beyond:#?}");
    }

    /// WCAG 2.2, 1.4.3 (AA): text stands out from what it is on by 4.5 to 1.
    #[test]
    fn every_ink_can_be_read_on_its_paper() {
        fn luminance(colour: slint::Color) -> f32 {
            let linear = |byte: u8| {
                let share = f32::from(byte) / 255.0;
                if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * linear(colour.red()) + 0.7152 * linear(colour.green()) + 0.0722 * linear(colour.blue())
        }
        let screens = Screens::new(Shape::Round, Language::English);
        let theme = screens.watch.global::<ui::Theme>();
        let mut pairs = vec![(theme.get_mint_ink(), theme.get_mint()), (theme.get_amber_ink(), theme.get_amber())];
        let inks = [
            theme.get_text(),
            theme.get_quiet(),
            theme.get_mint(),
            theme.get_amber(),
            theme.get_coral(),
            theme.get_sky(),
            theme.get_lilac(),
        ];
        for paper in [theme.get_ground(), theme.get_card(), theme.get_key()] {
            pairs.extend(inks.map(|ink| (ink, paper)));
        }
        for (ink, paper) in pairs {
            let (one, two) = (luminance(ink) + 0.05, luminance(paper) + 0.05);
            assert!(one.max(two) / one.min(two) >= 4.5, "{ink:?} on {paper:?}");
        }
    }

    /// The renderer draws each of them, and none as the box that stands for a missing one.
    #[test]
    fn letters_of_every_kind_are_drawn() {
        let picture = |text: &str| caption(text, 64, 48).rgb;
        let _platform = Screens::new(Shape::Round, Language::English);
        let (blank, missing) = (picture(""), picture("\u{10ffff}"));
        let table = include_str!("../fonts/hanzi-tgh-2013.txt").chars().filter(|c| !c.is_whitespace());
        let others = "łŻőßøÆþĐşǻẾợΩλςάῷЖщїґўћ№€£₩₹₺½∞→★♥①㎏あカ龍。，！";
        let mut seen = std::collections::HashSet::new();
        for character in table.step_by(97).chain(others.chars()) {
            let drawn = picture(&character.to_string());
            assert!(drawn != blank && drawn != missing, "{character} U+{:04X}", u32::from(character));
            assert!(seen.insert(drawn), "{character} looks like another");
        }
    }

    #[test]
    fn a_camera_picture_covers_the_face_and_keeps_its_middle() {
        // 8 × 4, its left half black and its right half white.
        let luma: Vec<u8> = (0..32).map(|index| if index % 8 < 4 { 0 } else { 255 }).collect();
        let buffer = cover((4, 4), (8, 4), &luma);
        assert_eq!(buffer.as_slice().iter().map(|pixel| pixel.g).collect::<Vec<_>>(), [0, 0, 255, 255].repeat(4));
        for (face, source) in
            [((360, 360), (640, 480)), ((368, 448), (640, 480)), ((360, 360), (3, 1000)), ((2, 3), (1, 1))]
        {
            let area = usize::try_from(source.0 * source.1).unwrap();
            let buffer = cover(face, source, &vec![9; area]);
            assert!(buffer.as_slice().iter().all(|pixel| pixel.g == 9));
        }
    }
}
