//! Parting from the other end.

use core::future::Future;
use embedded_io_async::ErrorType;

/// A stream that can end in more than one way.
pub trait Part: ErrorType {
    /// Says that nothing more will be written; what comes can be read still. That may take as long as the other end likes: race
    /// it against time.
    fn finish(&self) -> impl Future<Output = Result<(), Self::Error>>;

    /// Ends the connection at once, where that can be told from an end in order.
    fn abort(self);
}
