import { readRanges } from './ranges.ts'

/** Reads beside the page, so that a hundred thousand lines do not hold it up. */
addEventListener('message', ({ data }: MessageEvent<{ id: number; text: string }>) => postMessage({ id: data.id, read: readRanges(data.text) }))
