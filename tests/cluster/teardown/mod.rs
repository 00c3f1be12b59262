//! Taking environments down: nothing is left, in the order it has to go, and what does not go is named.
//!
//! Two judges that share no code with the product: the API server's request log, into which a policy of the
//! server writes which uid each DELETE asked for, and the raw keys of etcd.

mod alone;
mod killed;
mod leaves;
mod stage;
mod stuck;
mod truth;
