/** Strokes on a grid of 24, drawn for this console. */
const PATHS = {
  overview: 'M4 20V10M10 20V4M16 20v-7M22 20H2',
  user: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM4 21c0-4 3.6-6 8-6s8 2 8 6',
  group: 'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM2 20c0-3.6 3-5.5 7-5.5s7 1.9 7 5.5M16 4.5a3.5 3.5 0 0 1 0 6.5M18 14.8c2.5.7 4 2.4 4 5.2',
  application: 'M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z',
  device: 'M5 5h14v10H5zM2 19h20',
  policy: 'M12 3 4 6v6c0 5 3.5 8 8 9 4.5-1 8-4 8-9V6zM9 12l2 2 4-4',
  question: 'M9 9a3 3 0 1 1 4 2.8c-.7.3-1 .9-1 1.7M12 17v.1M12 22a10 10 0 1 0 0-20 10 10 0 0 0 0 20Z',
  location: 'M12 21s7-6 7-11a7 7 0 0 0-14 0c0 5 7 11 7 11ZM12 12.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z',
  signIn: 'M14 4h5v16h-5M4 12h10M10 8l4 4-4 4',
  stream: 'M2 8c3-4 5-4 8 0s5 4 8 0M4 16c3-4 5-4 8 0s5 4 8 0',
  settings: 'M4 7h10M18 7h2M4 17h2M10 17h10M16 9a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM8 19a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  cross: 'M6 6l12 12M18 6 6 18',
  warning: 'M12 3 2 20h20zM12 10v4M12 17v.1',
  clock: 'M12 22a10 10 0 1 0 0-20 10 10 0 0 0 0 20ZM12 7v5l3 2',
  sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19M5 19l1.4-1.4M17.6 6.4 19 5',
  moon: 'M20 14a8 8 0 1 1-10-10 6.5 6.5 0 0 0 10 10Z',
  search: 'M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13ZM15.5 15.5 21 21',
  plus: 'M12 5v14M5 12h14',
  trash: 'M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13',
  pause: 'M9 5v14M15 5v14',
  play: 'M7 4v16l12-8z',
  key: 'M14.5 13a4.5 4.5 0 1 0-4.3-3.2L3 17v4h4v-2h2v-2h2l1.5-1.5',
  bolt: 'M13 2 4 14h7l-1 8 9-12h-7z',
  arrow: 'M5 12h14M13 6l6 6-6 6',
  refresh: 'M20 11a8 8 0 1 0-2 6M20 4v7h-7',
  more: 'M12 6v.1M12 12v.1M12 18v.1',
  download: 'M12 3v12M7 11l5 5 5-5M4 20h16',
  upload: 'M12 16V4M7 8l5-5 5 5M4 20h16',
  globe: 'M12 22a10 10 0 1 0 0-20 10 10 0 0 0 0 20ZM2 12h20M12 2c3 3 4 6.5 4 10s-1 7-4 10c-3-3-4-6.5-4-10s1-7 4-10Z',
  stop: 'M8 2h8l6 6v8l-6 6H8l-6-6V8zM12 7v6M12 16.5v.1',
} as const

export type IconName = keyof typeof PATHS

/** A drawing beside words that say the same; to screen readers it is not there. */
export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth={2}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      style={{ flexShrink: 0 }}
    >
      <path d={PATHS[name]} />
    </svg>
  )
}
