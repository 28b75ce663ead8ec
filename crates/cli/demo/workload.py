"""An order book in SQLite: the workload of the demo log.

    workload.py FOLDER

Orders come in, match against the book, are cancelled and later archived; every day ends with a report file.
A trade moves cash and shares between two accounts in one transaction, so at every crash-consistent moment

    the cash of all accounts together is ACCOUNTS * CASH,
    the shares of all accounts together are ACCOUNTS * SHARES for every instrument,
    the filled part of every order in the book is the sum of its trades,

which `python3 workload.py --check FOLDER` asks of a recovered folder, beside SQLite's own integrity check.

The same seed writes the same rows every time. The blocks underneath still differ from run to run: the
file system puts in times and identifiers of its own.
"""

import os
import random
import sqlite3
import sys

ACCOUNTS = 40
CASH = 1_000_000
SHARES = 5_000
INSTRUMENTS = ["BASALT", "CINDER", "DOLERITE", "FELSITE", "GABBRO", "OBSIDIAN", "PUMICE", "TUFF"]

SCHEMA = """
create table account (id integer primary key, owner text not null, cash integer not null);
create table holding (
    account integer not null, instrument text not null, shares integer not null,
    primary key (account, instrument)
) without rowid;
create table orders (
    id integer primary key, account integer not null, instrument text not null,
    side text not null, price integer not null, quantity integer not null,
    filled integer not null default 0, state text not null, note text not null
);
create index open_orders on orders (instrument, side, price) where state = 'open';
create table trade (
    id integer primary key, buy integer not null, sell integer not null,
    price integer not null, quantity integer not null
);
create index trade_of_buy on trade (buy);
create index trade_of_sell on trade (sell);
"""

# One entry per trading day: journal mode, number of orders.
DAYS = [("delete", 140), ("wal", 420), ("persist", 90), ("wal", 420), ("truncate", 130)]


class Book:
    """The database and the one source of chance."""

    def __init__(self, folder):
        self.folder = folder
        self.chance = random.Random(1907)
        self.price = {name: 1_000 + 250 * place for place, name in enumerate(INSTRUMENTS)}
        self.db = sqlite3.connect(f"{folder}/orders.db", isolation_level=None)
        self.db.execute("pragma synchronous = full")

    def found(self):
        """Tables and accounts, in one transaction."""
        self.db.executescript("begin;" + SCHEMA)
        for account in range(1, ACCOUNTS + 1):
            self.db.execute("insert into account values (?, ?, ?)", (account, f"member {account:03}", CASH))
            for name in INSTRUMENTS:
                self.db.execute("insert into holding values (?, ?, ?)", (account, name, SHARES))
        self.db.execute("commit")

    def day(self, number, mode, orders):
        """One trading day: orders, cancellations, a report; every other day the archive is cleared."""
        self.db.execute(f"pragma journal_mode = {mode}")
        for _ in range(orders):
            self.place()
            if self.chance.random() < 0.12:
                self.cancel()
        if mode == "wal":
            self.db.execute("pragma wal_checkpoint(truncate)")
        self.report(number)
        if number % 2 == 0:
            self.archive()
            self.db.execute("vacuum")

    def place(self):
        """A new order and the trades it makes at once, in one transaction."""
        name = self.chance.choice(INSTRUMENTS)
        side = self.chance.choice(["buy", "sell"])
        self.price[name] = max(100, self.price[name] + self.chance.randint(-9, 9))
        price = self.price[name] + self.chance.randint(-12, 12)
        account = min(ACCOUNTS, int(self.chance.paretovariate(0.7)))
        quantity = self.chance.randint(1, 60)
        note = self.chance.randbytes(self.chance.randint(200, 2_000)).hex()
        self.db.execute("begin immediate")
        taker = self.db.execute(
            "insert into orders (account, instrument, side, price, quantity, state, note)"
            " values (?, ?, ?, ?, ?, 'open', ?)",
            (account, name, side, price, quantity, note),
        ).lastrowid
        self.match(taker, account, name, side, price, quantity)
        self.db.execute("commit")

    def match(self, taker, account, name, side, limit, quantity):
        """Fills the order from the other side of the book, best price first."""
        other, within, best = ("sell", "<=", "asc") if side == "buy" else ("buy", ">=", "desc")
        makers = self.db.execute(
            f"select id, account, price, quantity - filled from orders where state = 'open' and instrument = ?"
            f" and side = ? and price {within} ? order by price {best}, id limit 5",
            (name, other, limit),
        ).fetchall()
        for maker, maker_account, price, left in makers:
            shares = min(quantity, left)
            if shares == 0:
                break
            quantity -= shares
            buy, sell = (taker, maker) if side == "buy" else (maker, taker)
            payer, payee = (account, maker_account) if side == "buy" else (maker_account, account)
            self.db.execute("insert into trade (buy, sell, price, quantity) values (?, ?, ?, ?)", (buy, sell, price, shares))
            for order in (buy, sell):
                self.db.execute(
                    "update orders set filled = filled + ?1,"
                    " state = iif(filled + ?1 = quantity, 'done', 'open') where id = ?2",
                    (shares, order),
                )
            self.move(payer, -shares * price, name, shares)
            self.move(payee, shares * price, name, -shares)

    def move(self, account, cash, name, shares):
        """One side of a trade."""
        self.db.execute("update account set cash = cash + ? where id = ?", (cash, account))
        self.db.execute(
            "update holding set shares = shares + ? where account = ? and instrument = ?", (shares, account, name)
        )

    def cancel(self):
        """Takes the oldest open order off the book."""
        self.db.execute(
            "update orders set state = 'cancelled' where id = (select min(id) from orders where state = 'open')"
        )

    def archive(self):
        """Deletes the orders that are over, and the trades of which neither order is left."""
        self.db.executescript(
            """
            begin immediate;
            delete from orders where state <> 'open';
            delete from trade where buy not in (select id from orders) and sell not in (select id from orders);
            commit;
            """
        )

    def report(self, number):
        """The day's trades as a text file, made durable under a temporary name first; the oldest report goes."""
        folder = f"{self.folder}/reports"
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/part", "w", encoding="ascii") as out:
            for row in self.db.execute("select id, buy, sell, price, quantity from trade order by id"):
                print(*row, sep=",", file=out)
            out.flush()
            os.fsync(out.fileno())
        os.rename(f"{folder}/part", f"{folder}/day-{number}.csv")
        handle = os.open(folder, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
        if number > 2:
            os.unlink(f"{folder}/day-{number - 2}.csv")


def check(folder):
    """What must hold in every recovered folder; says what was found."""
    db = sqlite3.connect(f"{folder}/orders.db")
    assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    if not db.execute("select 1 from sqlite_master where name = 'trade_of_sell'").fetchone():
        return "no book yet"
    count, cash = db.execute("select count(*), sum(cash) from account").fetchone()
    assert (count, cash) == (ACCOUNTS, ACCOUNTS * CASH), (count, cash)
    for name, shares in db.execute("select instrument, sum(shares) from holding group by 1"):
        assert shares == ACCOUNTS * SHARES, (name, shares)
    for side in ("buy", "sell"):
        wrong = db.execute(
            f"select id from orders o where side = ?"
            f" and filled <> (select coalesce(sum(t.quantity), 0) from trade t where t.{side} = o.id)",
            (side,),
        ).fetchall()
        assert not wrong, (side, wrong)
    orders, last = db.execute("select count(*), max(id) from orders").fetchone()
    return f"{orders} orders, the last is number {last}"


def main():
    if sys.argv[1] == "--check":
        print(check(sys.argv[2]))
        return
    book = Book(sys.argv[1])
    book.found()
    for number, (mode, orders) in enumerate(DAYS, start=1):
        book.day(number, mode, orders)
    book.db.close()
    print(check(sys.argv[1]))


if __name__ == "__main__":
    main()
