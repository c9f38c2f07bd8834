// /app/month: the page is whole without this; the browser's own menu prints it too.

const button = document.getElementById("print");
if (button) {
  button.hidden = false;
  button.onclick = () => print();
}
