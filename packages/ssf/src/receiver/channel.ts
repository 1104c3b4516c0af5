/**
 * Another way on which the log of a transmitter arrives, for many guards at once: a broker. It is believed nothing: what it brings is signed, and a head that was not
 * signed lately means that nobody knows what it holds back.
 */
export interface Channel {
  /** Begins to bring what is sent from now on; called once. It comes back by itself, and says so by bringing something. */
  open(on: ChannelHandlers): void
  /** Something is missing that should have come: whatever it has that may be stuck is to be made anew. */
  restart(): void
  close(): Promise<void>
}

/** Texts as they came; in the order of the log, as far as the channel can tell. */
export interface ChannelHandlers {
  event(text: string): void
  head(text: string): void
  /** It is interrupted: what is sent from here on may be late or lost. */
  lost(reason: string): void
}
