//! Every screen in every language and shape, driven by label as a finger or a screen reader would.

#![allow(clippy::as_conversions)] // Small pixel counts to f32.

use nodpay_core::Occasion;
use nodpay_watch::view::{Basket, BasketLine, EndKind, Screen, UserAction, View};
use nodpay_watch_app::gallery::{Entry, gallery, notices, render};
use nodpay_watch_app::screens::{Element, Picture, Role, Screens, Shape, Touch};
use nodpay_watch_app::words::{self, Language};

const FINGER: f32 = 48.0;

fn each(mut test: impl FnMut(Shape, Language, &mut Screens)) {
    for shape in Shape::ALL {
        for language in Language::ALL {
            test(shape, language, &mut Screens::new(shape, language));
        }
    }
}

fn view(name: &str) -> View {
    entry(name).view
}

fn entry(name: &str) -> Entry {
    gallery().into_iter().find(|entry| entry.name == name).unwrap_or_else(|| panic!("{name} is not in the gallery"))
}

fn buttons(screens: &Screens) -> Vec<Element> {
    screens.elements().into_iter().filter(|element| element.role == Role::Button).collect()
}

fn labels(screens: &Screens) -> Vec<String> {
    screens.elements().into_iter().map(|element| element.label).collect()
}

fn tapped(screens: &mut Screens, label: &str) -> Vec<UserAction> {
    assert!(screens.tap(label), "no button {label} among {:?}", labels(screens));
    screens.take_actions()
}

/// Pixels that are neither black nor the ground.
fn ink(picture: &Picture) -> usize {
    picture.rgb.chunks_exact(3).filter(|pixel| pixel.iter().any(|&byte| byte > 60)).count()
}

#[test]
fn every_screen_draws_something() {
    for shape in Shape::ALL {
        for language in Language::ALL {
            for (name, picture) in render(shape, language) {
                let (width, height) = shape.size();
                assert_eq!((picture.width, picture.height), (width, height));
                assert_eq!(picture.rgb.len(), usize::try_from(width * height * 3).unwrap());
                assert!(ink(&picture) > 2000, "{name} {language:?} {shape:?} is blank");
            }
        }
    }
}

#[test]
fn the_round_face_is_black_outside_the_circle() {
    for (name, picture) in render(Shape::Round, Language::Chinese) {
        for (x, y) in [(0, 0), (359, 0), (0, 359), (359, 359), (40, 40), (319, 319)] {
            let at = (y * 360 + x) * 3;
            assert_eq!(picture.rgb[at..at + 3], [0, 0, 0], "{name} at {x}, {y}");
        }
    }
}

/// Buttons are large enough for a finger and in reach of it, and do not cover each other.
#[test]
fn every_button_can_be_hit() {
    each(|shape, language, screens| {
        for entry in gallery() {
            entry.show(screens);
            let (name, buttons) = (entry.name, buttons(screens));
            for (index, button) in buttons.iter().enumerate() {
                assert!(button.width >= FINGER && button.height >= FINGER, "{name} {language:?} {shape:?}: {button:?}");
                assert!(within(shape, middle_of_sides(button)), "{name} {shape:?}: {button:?} is off the face");
                for other in &buttons[index + 1..] {
                    assert!(!overlap(button, other), "{name} {shape:?}: {button:?} covers {other:?}");
                }
            }
        }
    });
}

/// No screen is a dead end, but the one on which the watch pays.
#[test]
fn every_screen_has_a_way_out() {
    each(|_, _, screens| {
        for entry in gallery() {
            entry.show(screens);
            let paying = matches!(entry.view.screen, Screen::Paying { .. });
            assert_eq!(buttons(screens).is_empty(), paying, "{}", entry.name);
        }
    });
}

/// Each button does one thing. Those that are the screens' own matter ask nothing of the agent.
#[test]
fn every_button_leads_somewhere() {
    each(|shape, language, screens| {
        let words = language.words();
        for entry in gallery() {
            entry.show(screens);
            for button in buttons(screens).into_iter().filter(|button| button.enabled) {
                // Anew, for the button before may have opened something.
                screens.show(&view("home"));
                entry.show(screens);
                let shown = labels(screens);
                let done = tapped(screens, &button.label);
                let spoken = Language::ALL.into_iter().find(|language| language.name() == button.label);
                assert_eq!(screens.take_language(), spoken, "{}", entry.name);
                let is_review = matches!(entry.view.screen, Screen::Review(_));
                let opens = is_review && entry.tap.is_none() && ![words.back, words.confirm].contains(&&*button.label);
                let closes = entry.tap.is_some() && button.label == words.back;
                let own = spoken.is_some() || opens || closes;
                assert_eq!(done.len(), usize::from(!own), "{} {shape:?}: {button:?} does {done:?}", entry.name);
                assert!(!(opens || closes) || labels(screens) != shown, "{}: {button:?}", entry.name);
                screens.set_language(language);
            }
        }
    });
}

/// Texts outside a scrolled list lie on the face, round or not.
#[test]
fn texts_lie_on_the_face() {
    each(|shape, language, screens| {
        for entry in gallery() {
            entry.show(screens);
            for element in screens.elements().into_iter().filter(|element| element.in_sight) {
                let (width, height) = shape.size();
                let inside = element.x >= -0.5
                    && element.y >= -0.5
                    && element.x + element.width <= width as f32 + 0.5
                    && (element.y + element.height <= height as f32 + 0.5 || scrolls(&entry.view));
                assert!(inside, "{} {language:?} {shape:?}: {element:?}", entry.name);
            }
        }
    });
}

#[test]
fn home_starts_a_payment() {
    each(|_, language, screens| {
        screens.show(&view("home"));
        assert_eq!(tapped(screens, language.words().pay), [UserAction::Start]);
        assert!(labels(screens).contains(&"¥86.40".to_owned()));
    });
}

#[test]
fn the_keypad_types() {
    each(|_, language, screens| {
        let words = language.words();
        screens.show(&view("pin-typed"));
        for digit in 0..=9 {
            assert_eq!(tapped(screens, &digit.to_string()), [UserAction::Digit(digit)]);
        }
        assert_eq!(tapped(screens, words.delete), [UserAction::Backspace]);
        assert_eq!(tapped(screens, words.confirm), [UserAction::Confirm]);
        screens.show(&view("pin"));
        assert_eq!(tapped(screens, words.back), [UserAction::Cancel]);
        assert!(!screens.tap(words.confirm), "nothing to confirm yet");
        screens.show(&view("amount-typed"));
        for digit in 0..=9 {
            assert_eq!(tapped(screens, &digit.to_string()), [UserAction::Digit(digit)]);
        }
        assert_eq!(tapped(screens, words.delete), [UserAction::Backspace]);
        assert_eq!(tapped(screens, words.confirm), [UserAction::Confirm]);
        screens.show(&view("amount"));
        assert_eq!(tapped(screens, words.back), [UserAction::Cancel]);
        assert!(!screens.tap(words.confirm), "nothing to pay yet");
        screens.show(&view("amount-too-large"));
        assert!(!screens.tap(words.confirm), "too much to pay");
        screens.show(&view("pin-locked"));
        assert!(!screens.tap("1"), "locked");
        assert_eq!(tapped(screens, words.back), [UserAction::Cancel]);
    });
}

#[test]
fn the_other_buttons_say_what_they_do() {
    each(|_, language, screens| {
        let words = language.words();
        for (name, label, action) in [
            ("welcome", words.scan, UserAction::Start),
            ("scan", words.back, UserAction::Cancel),
            ("pairing", words.cancel, UserAction::Cancel),
            ("welcome", words.settings, UserAction::Settings),
            ("home", words.history, UserAction::History),
            ("home", words.settings, UserAction::Settings),
            ("history", words.back, UserAction::Cancel),
            ("settings", words.back, UserAction::Cancel),
            ("settings", words.change_pin, UserAction::AskGuardian),
            ("pin", words.ask_guardian, UserAction::AskGuardian),
            ("pin-locked", words.ask_guardian, UserAction::AskGuardian),
            ("pin-guardian", words.ask_guardian, UserAction::AskGuardian),
            ("recognise", words.use_pin, UserAction::UsePin),
            ("recognise", words.back, UserAction::Cancel),
            ("fetching-offline", words.cancel, UserAction::Cancel),
            ("home-notice", words.ok, UserAction::Done),
            ("fetching", words.cancel, UserAction::Cancel),
            ("review", words.confirm, UserAction::Confirm),
            ("review", words.back, UserAction::Cancel),
            ("sending-offline", words.cancel, UserAction::Cancel),
            ("waiting", words.cancel, UserAction::Cancel),
            ("paid", words.done, UserAction::Done),
            ("refused", words.done, UserAction::Done),
        ] {
            screens.show(&view(name));
            assert_eq!(tapped(screens, label), [action], "{name}");
        }
    });
}

/// The guardian is asked once: then the button gives way to a word that it was done.
#[test]
fn a_guardian_is_asked_once() {
    each(|_, language, screens| {
        let words = language.words();
        for name in ["pin-asked", "pin-locked-asked", "pin-guardian-asked", "settings-asked"] {
            screens.show(&view(name));
            assert!(labels(screens).contains(&words.asked.to_owned()), "{name}");
            assert!(!screens.tap(words.ask_guardian) && !screens.tap(words.change_pin), "{name}");
        }
    });
}

#[test]
fn a_picture_says_why_and_is_taken_back() {
    each(|_, language, screens| {
        let words = language.words();
        for chosen in Occasion::ALL {
            let label = words::occasion(language, chosen);
            screens.show(&view("home"));
            screens.show(&view("review"));
            assert_eq!(tapped(screens, words.why), []);
            assert_eq!(tapped(screens, label), [UserAction::Occasion(Some(chosen))]);
            assert!(labels(screens).contains(&words.confirm.to_owned()), "the pictures are put away");

            let Screen::Review(basket) = view("review").screen else { panic!("a bill") };
            let basket = Basket { occasion: Some(chosen), ..basket };
            screens.show(&View { screen: Screen::Review(basket), online: true });
            assert_eq!(tapped(screens, label), [], "the chosen picture stands on the bill, and opens the others");
            assert_eq!(tapped(screens, label), [UserAction::Occasion(None)]);
        }
    });
}

#[test]
fn the_wearer_chooses_the_language() {
    let mut screens = Screens::new(Shape::Round, Language::Chinese);
    screens.show(&view("settings"));
    assert_eq!(tapped(&mut screens, Language::English.name()), []);
    assert_eq!((screens.language(), screens.take_language()), (Language::English, Some(Language::English)));
    assert!(labels(&screens).contains(&Language::English.words().settings.to_owned()));
    assert_eq!(screens.take_language(), None);
}

/// A finger that leaves the button before it is lifted does nothing.
#[test]
fn a_slip_is_no_tap() {
    let mut screens = Screens::new(Shape::Round, Language::English);
    screens.show(&view("review"));
    let confirm = screens.elements().into_iter().find(|element| element.label == "Confirm").unwrap();
    screens.touch(Touch::Pressed { x: confirm.x + 20.0, y: confirm.y + 20.0 });
    screens.touch(Touch::Moved { x: 180.0, y: 60.0 });
    screens.touch(Touch::Released { x: 180.0, y: 60.0 });
    assert_eq!(screens.take_actions(), []);
}

#[test]
fn review_never_loses_a_letter() {
    each(|_, _, screens| {
        let Screen::Review(mut basket) = view("review").screen else { panic!("a bill") };
        basket.shop = "Café Łódź".to_owned();
        basket.lines = ["Łódź", "老干妈", "巧克力🍫", "Σοκολάτα", "Київ", "עוגה"]
            .map(|name| BasketLine { name: name.to_owned(), quantity: 1, amount_minor: 100 })
            .to_vec();
        screens.show(&View { screen: Screen::Review(basket), online: true });
        let labels = labels(screens);
        for expected in
            ["Café Łódź", "Łódź", "老干妈", "巧克力‹U+1F36B›", "Σοκολάτα", "Київ", "‹U+05E2›‹U+05D5›‹U+05D2›‹U+05D4›"]
        {
            assert!(labels.contains(&expected.to_owned()), "{expected} is not among {labels:?}");
        }
    });
}

/// A long name is wrapped in the list, and the shop's whole name stands below the lines when the heading shortens it.
#[test]
fn a_long_bill_scrolls_to_its_end() {
    each(|shape, _, screens| {
        let View { screen: Screen::Review(Basket { shop, place, lines, .. }), .. } = view("review-long") else {
            panic!("a bill")
        };
        screens.show(&view("review-long"));
        screens.draw();
        let whole = format!("{shop} · {place}");
        let find = |screens: &Screens, label: &str| {
            screens.elements().into_iter().find(|element| element.label == label).unwrap()
        };
        assert!(!find(screens, &whole).in_sight, "{shape:?}");
        assert!(find(screens, &lines[0].name).in_sight);
        let mut now_ms = 0;
        for _ in 0..20 {
            screens.touch(Touch::Pressed { x: 180.0, y: 220.0 });
            for y in (100..220).rev().step_by(10) {
                now_ms += 30;
                screens.advance(now_ms);
                screens.touch(Touch::Moved { x: 180.0, y: y as f32 });
            }
            screens.touch(Touch::Released { x: 180.0, y: 100.0 });
            now_ms += 2000;
            screens.advance(now_ms);
        }
        screens.draw();
        assert!(find(screens, &whole).in_sight, "{shape:?}");
        assert!(!find(screens, &lines[0].name).in_sight);
        assert_eq!(screens.take_actions(), [], "scrolling is no tap");
    });
}

/// Headings and notices fit their place: no text is shortened with an ellipsis but names of other parties.
#[test]
fn every_notice_is_shown_whole() {
    each(|_, language, screens| {
        for one in notices() {
            let sentence = words::notice(language, &one);
            let Screen::Home { wearer, balance, .. } = view("home").screen else { panic!("home") };
            let screen = Screen::Home { wearer, balance, notice: Some(one) };
            screens.show(&View { screen, online: true });
            let labels = labels(screens);
            assert!(labels.contains(&sentence.what), "{sentence:?} {labels:?}");
            assert!(sentence.next.is_empty() || labels.contains(&sentence.next));
        }
    });
}

#[test]
fn the_clock_runs_without_the_agent() {
    let mut screens = Screens::new(Shape::Round, Language::Chinese);
    screens.show(&view("waiting"));
    assert!(screens.draw().is_some());
    assert!(screens.draw().is_none(), "nothing changed");
    assert!(labels(&screens).contains(&"8:43".to_owned()));
    let wait_ms = screens.wake_in_ms().unwrap();
    assert!(wait_ms <= 1000);
    screens.advance(3000);
    assert!(screens.draw().is_some());
    assert!(labels(&screens).contains(&"8:40".to_owned()));
    screens.advance(600_000);
    assert!(labels(&screens).contains(&"0:00".to_owned()));
}

/// An idle watch sleeps.
#[test]
fn home_neither_draws_nor_wakes_by_itself() {
    let mut screens = Screens::new(Shape::Square, Language::English);
    screens.show(&view("home"));
    screens.draw();
    for second in 1..100 {
        screens.advance(second * 1000);
        assert!(screens.draw().is_none());
    }
    assert_eq!(screens.wake_in_ms(), None);
}

#[test]
fn the_language_changes_at_once() {
    let mut screens = Screens::new(Shape::Round, Language::Chinese);
    for kind in [EndKind::Paid, EndKind::Failed, EndKind::Refused, EndKind::Expired, EndKind::Cancelled] {
        let View { screen: Screen::Ended(mut ending), online } = view("paid") else { panic!("an ending") };
        ending.kind = kind;
        screens.show(&View { screen: Screen::Ended(ending), online });
        for language in Language::ALL {
            screens.set_language(language);
            let labels = labels(&screens);
            assert!(labels.contains(&words::ended(language, kind, None)));
            assert!(labels.contains(&language.words().done.to_owned()));
            let nothing_paid = labels.contains(&language.words().nothing_paid.to_owned());
            assert_eq!(nothing_paid, kind != EndKind::Paid);
        }
    }
}

#[test]
fn the_preview_is_drawn_on_the_scan_screen_only() {
    let mut screens = Screens::new(Shape::Round, Language::Chinese);
    screens.show(&view("scan"));
    screens.draw();
    let dark = ink(screens.picture());
    screens.set_preview(640, 480, &vec![200; 640 * 480]);
    screens.draw();
    assert!(ink(screens.picture()) > dark * 4);
    screens.set_preview(640, 480, &[200; 7]);
    assert!(screens.draw().is_none(), "a torn frame is not shown");
    screens.show(&view("home"));
    screens.draw();
    screens.set_preview(640, 480, &vec![200; 640 * 480]);
    assert!(screens.draw().is_none());
}

/// The screens whose contents may be longer than the face.
fn scrolls(view: &View) -> bool {
    matches!(view.screen, Screen::Review(_) | Screen::Ended(_) | Screen::Home { notice: Some(_), .. })
}

fn middle_of_sides(element: &Element) -> [(f32, f32); 4] {
    let Element { x, y, width, height, .. } = element;
    [(*x, y + height / 2.0), (x + width, y + height / 2.0), (x + width / 2.0, *y), (x + width / 2.0, y + height)]
}

fn within(shape: Shape, points: [(f32, f32); 4]) -> bool {
    let (width, height) = shape.size();
    points.into_iter().all(|(x, y)| match shape {
        Shape::Round => (x - 180.0).hypot(y - 180.0) <= 180.0,
        Shape::Square => (0.0..=width as f32).contains(&x) && (0.0..=height as f32).contains(&y),
    })
}

fn overlap(one: &Element, two: &Element) -> bool {
    one.x < two.x + two.width && two.x < one.x + one.width && one.y < two.y + two.height && two.y < one.y + one.height
}
