const paths = {
  map: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16ZM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM12 1v3M12 20v3M1 12h3M20 12h3',
  services: 'M4 5h16v6H4zM4 13h16v6H4zM8 8h.01M8 16h.01M12 8h4M12 16h4',
  moves: 'M3 8h13M12 4l4 4-4 4M21 16H8M12 12l-4 4 4 4',
  credentials: 'M8 15a4 4 0 1 1 3.4-6H21v3h-2v3h-3v-3h-4.6A4 4 0 0 1 8 15ZM8 11h.01',
  latency: 'M2 13h4l3-8 5 14 3-8h5',
  drills: 'M12 3a9 9 0 1 0 9 9M12 7a5 5 0 1 0 5 5M12 12l8-8M17 3v4h4',
  journal: 'M6 3h12v18H6zM9 8h6M9 12h6M9 16h4',
  search: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM15.5 15.5 21 21',
  stop: 'M8 3h8l5 5v8l-5 5H8l-5-5V8zM9 9h6v6H9z',
  play: 'M7 4l13 8-13 8z',
  attack: 'M12 3 2 20h20zM12 9v5M12 17h.01',
  unplugged: 'M3 3l18 18M8 5v3M16 5v5M6 9v3a6 6 0 0 0 9 5.2M18 12V9h-6M12 18v4',
  loading: 'M12 3a9 9 0 1 1-9 9',
  themeSystem: 'M3 5h18v11H3zM8 20h8M12 16v4',
  themeDark: 'M20 14a8 8 0 1 1-9-11 6.5 6.5 0 0 0 9 11Z',
  themeLight:
    'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19M5 19l1.4-1.4M17.6 6.4 19 5',
  close: 'M5 5l14 14M19 5 5 19',
  check: 'M4 12.5 9.5 18 20 6',
  plus: 'M12 5v14M5 12h14',
  minus: 'M5 12h14',
  fit: 'M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5',
  download: 'M12 3v12M7 10l5 5 5-5M4 20h16',
  copy: 'M9 9h11v11H9zM15 9V4H4v11h5',
  chevron: 'M9 5l7 7-7 7',
  ban: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM6 6l12 12',
} as const;

export type IconName = keyof typeof paths;

/** A thin line icon; words beside it say the same. */
export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg
      className="icon"
      data-icon={name}
      width={size}
      height={size}
      viewBox="0 0 24 24"
      aria-hidden="true"
      focusable="false"
    >
      <path
        d={paths[name]}
        fill="none"
        stroke="currentColor"
        strokeWidth="1.6"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  );
}
