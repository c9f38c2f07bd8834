// A small picture for a line of a bill, by its category or name: so that a long list can be looked over at a glance. Decides nothing,
// asks nobody. What none of the words fits gets a basket.

import { shape } from "./frame.js";

/** Kind, what it is called, and its shape of 24 × 24. The first that fits counts: 水果 is no 水, and 奶糖 no 奶. */
const KINDS = [
  ["pencil", /笔|本子|簿|橡皮|颜料|水彩|文具|尺子|胶水|\b(pencils?|pens?|erasers?|notebooks?|paints?|crayons?|glue|ruler|stationery)\b/i,
    "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3"],
  ["book", /书(?!包)|杂志|漫画|\b(books?|magazines?|comics?)\b/i,
    "M12 6c-2-1.5-5-2-8-1.5V18c3-.5 6 0 8 1.5 2-1.5 5-2 8-1.5V4.5C17 4 14 4.5 12 6zM12 6v13.5"],
  ["sweet", /糖|巧克力|冰淇淋|雪糕|冰棍|蛋糕|饼干|零食|薯片|派$|\b(cand(y|ies)|sweets?|chocolate|gum|ice cream|cakes?|cookies?|biscuits?|crisps|chips|snacks?|lollipop)\b/i,
    "M12 16a4.5 4.5 0 1 1 0-9 4.5 4.5 0 0 1 0 9zM8 9L3.5 6.5v7L8 14M16 9l4.5-2.5v7L16 14"],
  ["fruit", /果|苹果|香蕉|橙|桔|葡萄|草莓|梨|西瓜|蔬菜|沙拉|\b(fruit|apples?|bananas?|oranges?|grapes?|pears?|\w*berr(y|ies)|salad|vegetables?|carrots?)\b/i,
    "M12 8c-2-2-7-1.5-7 4.5C5 17 8 21 10 21c1 0 1-.5 2-.5s1 .5 2 .5c2 0 5-4 5-8.5C19 6.5 14 6 12 8zM12 8c0-2 .8-4 3-5"],
  ["drink", /可乐|汽水|水|茶|奶|汁|咖啡|饮|\b(cola|drinks?|water|milk|juice|tea|coffee|soda|lemonade|smoothie|cocoa)\b/i,
    "M6 8h12l-1.5 13h-9zM7 13h10M12 8l1.5-5H17"],
  ["food", /面|包子|饭|粥|饺|汤|蛋|肉|鸡|鱼|三明治|汉堡|披萨|豆|餐|食|\b(bread|rolls?|rice|noodles?|soup|sandwich(es)?|burgers?|pizza|pasta|eggs?|meat|fish|lunch|meals?|menu|food)\b/i,
    "M4 11h16a8 8 0 0 1-8 8 8 8 0 0 1-8-8zM9 20h6M9 7.5c0-1.5 1-1.5 1-3M13 7.5c0-1.5 1-1.5 1-3"],
  ["toy", /玩具|积木|球|贴纸|卡片|拼图|游戏|\b(toys?|balls?|bricks|stickers?|games?|dolls?|puzzles?|cards?)\b/i,
    "M12 20a8 8 0 1 1 0-16 8 8 0 0 1 0 16zM4.5 9.5c5 2 10 2 15 0M12 4c-3 5-3 11 0 16M12 4c3 5 3 11 0 16"],
  ["clothes", /衣|裤|鞋|袜|帽|围巾|\b(shirts?|trousers|shoes?|socks?|hats?|caps?|coats?|scarf)\b/i,
    "M8.5 4L3 7.5 5 12l2.5-1V20h9v-9l2.5 1 2-4.5L15.5 4c-1 2.5-6 2.5-7 0z"],
  ["journey", /票|地铁|公交|车费|\b(tickets?|bus|trains?|tram|metro|fares?)\b/i,
    "M6 4h12v12H6zM6 10h12M9 19l-1.5 2M15 19l1.5 2M6 16v3h12v-3M9 13h.01M15 13h.01"],
];
const BASKET = "M4 10h16l-1.5 9h-13zM8.5 10L12 4l3.5 6M9.5 13v3M14.5 13v3";

/** The picture of a line, for the eyes alone: its name stands beside it. */
export function goodsIcon({ name, category }) {
  const fits = (text) => text !== undefined && KINDS.find(([, words]) => words.test(text));
  const [, , path] = fits(category) || fits(name) || ["other", null, BASKET];
  return shape(path);
}

/** What a name is taken for. */
export const kindOf = (name) => KINDS.find(([, words]) => words.test(name))?.[0] ?? "other";
