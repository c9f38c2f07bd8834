// The page without a connection: tries the same address again, at a tap and when the network is back.

const again = (event) => {
  event?.preventDefault();
  location.reload();
};

document.getElementById("again").addEventListener("click", again);
addEventListener("online", () => again());
