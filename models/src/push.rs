//! Push, answer, resume: two clients, a server with a log, connections that break, processes that
//! die.
//!
//! A connection keeps order and loses what is on its way when it breaks; frames of an ended one may
//! still arrive at the server. A server appends what it has staged, or fails to, or dies; a client
//! that dies comes back with its outbox and nothing else. Properties: a transaction is in the log
//! once and in order; what is acknowledged is there; what a client holds is the log up to its
//! position, and an answer never comes before what it stands for.

use stateright::{Model, Property};

const N_CLIENTS: usize = 2;
/// Writes of each client.
const N_WRITES: [u8; N_CLIENTS] = [2, 1];
/// Connections that break, in all.
const N_BREAKS: u8 = 1;
/// Processes that die, of servers and of clients.
const N_CRASHES: u8 = 1;
/// Appends that fail.
const N_FAILURES: u8 = 1;

/// Ways to get it wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// The answer comes before the append.
    AnswerBeforeCommit,
    /// Everyone is told before the append.
    TellBeforeCommit,
    /// A transaction sent again is a new one.
    RepeatIsNew,
    /// After a refusal the stream goes on, and numbers out of order are taken.
    GapIsNext,
    /// The answer comes before what the commit brings.
    AnswerBeforeFacts,
    /// Who comes back gets what follows the commit after its position.
    ResumeSkipsOne,
    /// Who subscribes is told of commits only after the next one.
    JoinAfterNext,
    /// What was sent is taken for answered when the connection breaks.
    DropOnBreak,
    /// The outbox does not keep the last number.
    NumberForgotten,
    /// A failed append leaves what was staged behind it.
    FailureKeepsLater,
}

impl Mutant {
    pub(crate) const ALL: &[Mutant] = &[
        Mutant::AnswerBeforeCommit,
        Mutant::TellBeforeCommit,
        Mutant::RepeatIsNew,
        Mutant::GapIsNext,
        Mutant::AnswerBeforeFacts,
        Mutant::ResumeSkipsOne,
        Mutant::JoinAfterNext,
        Mutant::DropOnBreak,
        Mutant::NumberForgotten,
        Mutant::FailureKeepsLater,
    ];
}

/// A transaction: whose, its number there, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    client: u8,
    number: u8,
    content: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Up {
    /// The position of who comes.
    Hello(u8),
    Push(Write),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Down {
    /// A commit, by its position.
    Commit(u8, Write),
    /// The answer to a number, and its commit.
    Ack(u8, u8),
    /// The stream stops before a number.
    Refused(u8),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Client {
    /// Transactions made, answered or not; the outbox.
    writes: Vec<Write>,
    n_answered: u8,
    n_sent: u8,
    n_contents: u8,
    n_sessions: u8,
    /// Its connection's number.
    session: Option<u8>,
    held: Vec<Write>,
    up: Vec<(u8, Up)>,
    down: Vec<(u8, Down)>,
    /// The session that the server takes for its own, and what it waits for before telling it.
    served: Option<u8>,
    is_waiting: bool,
    /// Pushes from this number on are dropped until it comes.
    stopped_at: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct State {
    clients: [Client; N_CLIENTS],
    log: Vec<Write>,
    staged: Vec<Write>,
    /// How many of the staged are in the append under way.
    n_appending: u8,
    n_breaks: u8,
    n_crashes: u8,
    n_failures: u8,
    /// Something acknowledged was not in the log, or before its facts.
    has_lied: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Write(usize),
    Connect(usize),
    Send(usize),
    ArriveUp(usize),
    ArriveDown(usize),
    /// The connection breaks; whether what was on its way to the server still arrives.
    Break(usize, bool),
    StartAppend,
    Append,
    Fail,
    /// The server dies; whether the append under way has reached the disk.
    CrashServer(bool),
    CrashClient(usize),
}

/// The model.
pub(crate) struct Sync {
    mutant: Option<Mutant>,
}

impl Sync {
    pub(crate) fn new(mutant: Option<Mutant>) -> Sync {
        Sync { mutant }
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// A frame comes to the server.
    fn receive(&self, state: &mut State, index: usize) {
        let (session, message) = state.clients[index].up.remove(0);
        match message {
            Up::Hello(position) => {
                // The newer session fences the older one.
                if state.clients[index].served.is_some_and(|served| served > session) {
                    return;
                }
                let skipped = position + u8::from(self.is(Mutant::ResumeSkipsOne));
                let missed: Vec<Write> = state.log.iter().skip(skipped.into()).copied().collect();
                let client = &mut state.clients[index];
                client.served = Some(session);
                client.stopped_at = None;
                client.is_waiting = self.is(Mutant::JoinAfterNext);
                for (write, at) in missed.into_iter().zip(skipped + 1..) {
                    client.tell(Down::Commit(at, write));
                }
            }
            Up::Push(write) if state.clients[index].served == Some(session) => {
                self.push(state, index, write);
            }
            Up::Push(_) => {}
        }
    }

    fn push(&self, state: &mut State, index: usize, write: Write) {
        let number = write.number;
        match state.clients[index].stopped_at {
            Some(stopped_at) if number > stopped_at && !self.is(Mutant::GapIsNext) => return,
            Some(stopped_at) if number == stopped_at => state.clients[index].stopped_at = None,
            _ => {}
        }
        let durable = state.log.iter().zip(1..).find(|(other, _)| other.is_same(write));
        let durable = durable.map(|(_, at)| at).filter(|_| !self.is(Mutant::RepeatIsNew));
        let is_staged = state.staged.iter().any(|other| other.is_same(write));
        let taken = state.log.iter().chain(&state.staged);
        let last = taken.filter(|other| other.client == write.client).map(|other| other.number);
        let next = last.max().unwrap_or(0) + 1;
        let is_next = number == next
            || number > next && self.is(Mutant::GapIsNext)
            || number < next && self.is(Mutant::RepeatIsNew);
        let client = &mut state.clients[index];
        match durable {
            Some(at) => client.tell(Down::Ack(number, at)),
            None if is_staged => {}
            None if is_next => {
                state.staged.push(write);
                let at = (state.log.len() + state.staged.len()) as u8;
                if self.is(Mutant::AnswerBeforeCommit) {
                    client.tell(Down::Ack(number, at));
                }
                if self.is(Mutant::TellBeforeCommit) {
                    state.clients.iter_mut().for_each(|it| it.tell(Down::Commit(at, write)));
                }
            }
            None => {
                client.stopped_at = Some(next);
                client.tell(Down::Refused(next));
            }
        }
    }

    fn publish(&self, state: &mut State, n_answered: usize) {
        let n = usize::from(std::mem::take(&mut state.n_appending));
        for write in state.staged.drain(..n).collect::<Vec<_>>() {
            state.log.push(write);
            let at = state.log.len() as u8;
            let author = usize::from(write.client);
            let ack = Down::Ack(write.number, at);
            if self.is(Mutant::AnswerBeforeFacts) {
                state.clients[author].tell(ack);
            }
            for client in &mut state.clients {
                let must_wait = std::mem::take(&mut client.is_waiting);
                if !must_wait && !self.is(Mutant::TellBeforeCommit) {
                    client.tell(Down::Commit(at, write));
                }
            }
            let is_told = self.is(Mutant::AnswerBeforeFacts);
            if n_answered > 0 && !is_told && !self.is(Mutant::AnswerBeforeCommit) {
                state.clients[author].tell(ack);
            }
        }
    }

    /// A frame comes to a client.
    fn hear(&self, state: &mut State, index: usize) {
        let (session, message) = state.clients[index].down.remove(0);
        if state.clients[index].session != Some(session) {
            return;
        }
        let log = state.log.clone();
        let client = &mut state.clients[index];
        match message {
            Down::Commit(at, write) => {
                client.held.push(write);
                state.has_lied |= log.get(usize::from(at) - 1) != Some(&write);
            }
            Down::Ack(number, at) => {
                let write = client.writes.iter().find(|write| write.number == number).copied();
                let is_there = write.is_some_and(|write| log.contains(&write));
                let is_shown = client.held.len() >= usize::from(at);
                state.has_lied |= !is_there || !is_shown;
                client.n_answered = client.n_answered.max(number);
            }
            Down::Refused(from) => client.n_sent = client.n_sent.min(from.saturating_sub(1)),
        }
    }
}

impl Write {
    fn is_same(self, other: Write) -> bool {
        (self.client, self.number) == (other.client, other.number)
    }
}

impl Client {
    /// Towards the client, if the server takes a session for its own.
    fn tell(&mut self, message: Down) {
        if let Some(session) = self.served {
            self.down.push((session, message));
        }
    }

    fn lose(&mut self, may_arrive: bool) {
        self.session = None;
        self.down.clear();
        if !may_arrive {
            self.up.clear();
        }
        self.n_sent = self.n_answered;
    }
}

impl Model for Sync {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (index, client) in state.clients.iter().enumerate() {
            if client.n_contents < N_WRITES[index] {
                actions.push(Action::Write(index));
            }
            match client.session {
                None => actions.push(Action::Connect(index)),
                Some(_) if usize::from(client.n_sent) < client.writes.len() => {
                    actions.push(Action::Send(index));
                }
                Some(_) => {}
            }
            if !client.up.is_empty() {
                actions.push(Action::ArriveUp(index));
            }
            if !client.down.is_empty() {
                actions.push(Action::ArriveDown(index));
            }
            if client.session.is_some() && state.n_breaks < N_BREAKS {
                actions.extend([Action::Break(index, false), Action::Break(index, true)]);
            }
            if state.n_crashes < N_CRASHES {
                actions.push(Action::CrashClient(index));
            }
        }
        if state.n_appending == 0 && !state.staged.is_empty() {
            actions.push(Action::StartAppend);
        }
        if state.n_appending > 0 {
            actions.push(Action::Append);
            if state.n_failures < N_FAILURES {
                actions.push(Action::Fail);
            }
        }
        if state.n_crashes < N_CRASHES {
            actions.extend([Action::CrashServer(false), Action::CrashServer(true)]);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Write(index) => {
                let client = &mut state.clients[index];
                client.n_contents += 1;
                let number = client.writes.last().map_or(0, |write| write.number) + 1;
                let content = client.n_contents;
                client.writes.push(Write { client: index as u8, number, content });
            }
            Action::Connect(index) => {
                let client = &mut state.clients[index];
                client.n_sessions += 1;
                client.session = Some(client.n_sessions);
                client.up.push((client.n_sessions, Up::Hello(client.held.len() as u8)));
                client.n_sent = client.n_answered;
            }
            Action::Send(index) => {
                let client = &mut state.clients[index];
                let session = client.session?;
                let write = *client.writes.get(usize::from(client.n_sent))?;
                client.n_sent += 1;
                client.up.push((session, Up::Push(write)));
            }
            Action::ArriveUp(index) => self.receive(&mut state, index),
            Action::ArriveDown(index) => self.hear(&mut state, index),
            Action::Break(index, may_arrive) => {
                state.n_breaks += 1;
                let client = &mut state.clients[index];
                let n_sent = client.n_sent;
                client.lose(may_arrive);
                if self.is(Mutant::DropOnBreak) {
                    (client.n_answered, client.n_sent) = (n_sent, n_sent);
                }
            }
            Action::StartAppend => state.n_appending = state.staged.len() as u8,
            Action::Append => self.publish(&mut state, 1),
            Action::Fail => {
                state.n_failures += 1;
                let n = usize::from(std::mem::take(&mut state.n_appending));
                let dropped = match self.is(Mutant::FailureKeepsLater) {
                    true => state.staged.drain(..n).collect::<Vec<_>>(),
                    false => std::mem::take(&mut state.staged),
                };
                for write in dropped {
                    let client = &mut state.clients[usize::from(write.client)];
                    if client.stopped_at.is_none_or(|at| at > write.number) {
                        client.stopped_at = Some(write.number);
                        client.tell(Down::Refused(write.number));
                    }
                }
            }
            Action::CrashServer(is_durable) => {
                state.n_crashes += 1;
                if is_durable {
                    let n = usize::from(state.n_appending);
                    let durable: Vec<Write> = state.staged.drain(..n).collect();
                    state.log.extend(durable);
                }
                (state.staged, state.n_appending) = (Vec::new(), 0);
                for client in &mut state.clients {
                    (client.served, client.is_waiting, client.stopped_at) = (None, false, None);
                    client.lose(false);
                }
            }
            Action::CrashClient(index) => {
                state.n_crashes += 1;
                let client = &mut state.clients[index];
                client.lose(false);
                client.held.clear();
                if self.is(Mutant::NumberForgotten) {
                    let n_answered = usize::from(client.n_answered);
                    client.writes.drain(..n_answered.min(client.writes.len()));
                    (client.n_answered, client.n_sent) = (0, 0);
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("each transaction once and in order", |_, state: &State| {
                (0..N_CLIENTS as u8).all(|client| {
                    let own = state.log.iter().filter(|write| write.client == client);
                    own.zip(1..).all(|(write, number)| write.number == number)
                })
            }),
            Property::always("no answer and no commit is a lie", |_, state: &State| {
                !state.has_lied
            }),
            Property::always("what is held is the beginning of the log", |_, state: &State| {
                state.clients.iter().all(|client| state.log.starts_with(&client.held))
            }),
            Property::always("what is answered is in the log", |_, state: &State| {
                state.clients.iter().all(|client| {
                    let answered = client.writes.iter().take(client.n_answered.into());
                    answered.into_iter().all(|write| state.log.contains(write))
                })
            }),
            Property::sometimes(
                "everything is answered and held after a crash",
                |_, state: &State| {
                    let n_all: usize = N_WRITES.iter().map(|n| usize::from(*n)).sum();
                    let is_done = |client: &Client| {
                        client.writes.len() == usize::from(client.n_answered)
                            && client.held.len() == n_all
                    };
                    state.n_crashes == N_CRASHES
                        && state.n_failures > 0
                        && state.clients.iter().all(is_done)
                },
            ),
        ]
    }
}
