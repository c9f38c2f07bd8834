-- Version 2: open orders and asks say their household, by which a distributed database cuts.

ALTER TABLE open_orders ADD COLUMN household BYTEA;
UPDATE open_orders SET household = orders.household FROM orders WHERE orders.no = open_orders.order_no;
ALTER TABLE open_orders ALTER COLUMN household SET NOT NULL;
ALTER TABLE requote_asks ADD COLUMN household BYTEA;
UPDATE requote_asks SET household = orders.household FROM orders WHERE orders.no = requote_asks.order_no;
ALTER TABLE requote_asks ALTER COLUMN household SET NOT NULL;
